"""What reading fewer slates costs: nDCG against the share of requests for which the language model is asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from genrec.data.interactions import FloatArray
from genrec.evaluation import significance
from genrec.evaluation.metrics import ndcg
from genrec.evaluation.suite.bench import EvaluationContext
from genrec.evaluation.suite.served import ReplayedRequest, ranked_of

POINTS = 11
"""Shares from none to all."""


def cost_curve(walks: Sequence[Sequence[ReplayedRequest]], bench: EvaluationContext, k: int = 10) -> dict[str, Any]:
    """Points from reading no slate to reading all, those first in which the model is most likely to change the answer.

    `walks` are answers of the same users under several seeds, for which every slate was read. Each point has
    `share_llm`, `ndcg@k` with its interval over users; `default` is where the learned threshold stands.
    """
    name = f"ndcg@{k}"
    with_llm, without, served = (_ndcg(walks, order, bench, k) for order in ("fused", "fused_without_llm", "served"))
    likely = np.array([[one.gain_p for one in walk] for walk in walks])
    rank = np.argsort(np.argsort(-likely, axis=1, kind="stable"), axis=1) / likely.shape[1]
    shares = np.linspace(0, 1, POINTS)
    values = [np.where(rank < share, with_llm, without).mean(axis=0) for share in shares]
    draws = significance.bootstrap_means(np.column_stack(values))
    low, high = significance.interval(draws)
    read = np.mean([[one.is_read for one in walk] for walk in walks])
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


def _ndcg(walks: Sequence[Sequence[ReplayedRequest]], order: str, bench: EvaluationContext, k: int) -> FloatArray:
    """Values [s, m]."""
    return np.stack([ndcg.per_user(ranked_of(walk, order, bench), bench.split.targets, k) for walk in walks])
