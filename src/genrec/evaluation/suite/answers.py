"""Answers of language models in a run: whether there were any, what they were like, what reading fewer costs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from genrec.errors import ModelError
from genrec.evaluation import significance
from genrec.evaluation.lists import Lists, Values
from genrec.evaluation.metrics import ndcg
from genrec.evaluation.replay import ReplayedRequest
from genrec.evaluation.suite.context import EvaluationContext
from genrec.evaluation.suite.served import ranked_of
from genrec.evaluation.validity import agreement, validity

POINTS = 11
"""Shares from none to all."""


def fallbacks(replayed: Sequence[ReplayedRequest]) -> list[str]:
    """A warning where slates that a model was to read went unread; ModelError if it read none of them."""
    asked = [one for one in replayed if one.asked]
    reasons = [one.fallback for one in asked if one.fallback is not None]
    if reasons and len(reasons) == len(asked):
        raise ModelError(
            f"the language model ranked no slate at all (first reason: {reasons[0]})", "look at: genrec doctor"
        )
    return [f"{len(reasons)} of {len(asked)} requests were answered without the language model"] if reasons else []


def facts(replayed: Sequence[ReplayedRequest]) -> dict[str, Any]:
    """For the record, over all requests and seeds: nothing without a model, and little if none was asked.

    `language_model` has the largest weight of the model in any answer, and how many slates it was to read.
    """
    if not replayed:
        return {}
    asked = [one for one in replayed if one.asked]
    share = {"weight": round(max(one.weight for one in replayed), 6), "read": len(asked)}
    if not asked:
        return {"language_model": share}
    measured = [sum(one.stage_ms.values()) for one in asked if one.stage_ms]
    return {
        "language_model": share,
        "validity": validity([one.wrong for one in asked], sum(one.was_read for one in asked)),
        "fallbacks": dict(Counter(one.fallback for one in asked if one.fallback is not None)),
        "agreement": agreement([one.agreement for one in asked]),
        "tokens": {
            kind: round(float(np.mean([getattr(one, f"{kind}_tokens") for one in asked])), 1)
            for kind in ("prompt", "computed")
        },
        "latency_ms": {
            "requests": len(measured),
            "median": round(float(np.median(measured)), 2) if measured else None,
            "p95": round(float(np.quantile(measured, 0.95)), 2) if measured else None,
        },
    }


def cost_curve(replays: Sequence[Sequence[ReplayedRequest]], context: EvaluationContext, k: int = 10) -> dict[str, Any]:
    """Points from reading no slate to reading all, those first in which the model is most likely to change the answer.

    `replays` are answers of the same users under several seeds, for which every slate was read. Each point has
    `share_llm`, `ndcg@k` with its interval over users; `default` is where the learned threshold stands.
    """
    name = f"ndcg@{k}"
    with_llm, without, served = (
        _ndcg(replays, order, context, k) for order in ("fused", "fused_without_llm", "served")
    )
    likely = np.array([[one.gain_p for one in replay] for replay in replays])
    rank = np.argsort(np.argsort(-likely, axis=1, kind="stable"), axis=1) / likely.shape[1]
    shares = np.linspace(0, 1, POINTS)
    values = [np.where(rank < share, with_llm, without).mean(axis=0) for share in shares]
    draws = significance.bootstrap_means(np.column_stack(values))
    low, high = significance.interval(draws)
    read = np.mean([[one.calls_llm for one in replay] for replay in replays])
    return {
        "points": [
            {
                "share_llm": round(float(share), 4),
                name: round(float(value.mean()), 6),
                "low": round(float(low[place]), 6),
                "high": round(float(high[place]), 6),
            }
            for place, (share, value) in enumerate(zip(shares, values, strict=True))
        ],
        "default": {"share_llm": round(float(read), 4), name: round(float(served.mean()), 6)},
    }


def _ndcg(replays: Sequence[Sequence[ReplayedRequest]], order: str, context: EvaluationContext, k: int) -> Values:
    """Values [s, m]."""
    lists = [Lists(ranked_of(replay, order, context), context.split.targets, k) for replay in replays]
    return np.stack([ndcg.per_user(one) for one in lists])
