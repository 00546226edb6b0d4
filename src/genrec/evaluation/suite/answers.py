"""What language models did in a run: whether they answered, and what their answers were like."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from genrec.errors import ModelError
from genrec.evaluation.metrics import agreement, validity
from genrec.evaluation.suite.served import ReplayedRequest


def fallbacks(walked: Sequence[ReplayedRequest]) -> list[str]:
    """A warning where slates that a model was to read went unread; ModelError if it read none of them."""
    asked = [one for one in walked if one.asked]
    reasons = [one.fallback for one in asked if one.fallback is not None]
    if reasons and len(reasons) == len(asked):
        raise ModelError(
            f"the language model ranked no slate at all (first reason: {reasons[0]})", "look at: genrec doctor"
        )
    return [f"{len(reasons)} of {len(asked)} requests were answered without the language model"] if reasons else []


def facts(walked: Sequence[ReplayedRequest]) -> dict[str, Any]:
    """For the record, over all requests and seeds: nothing without a model, and little if none was asked.

    `language_model` has the largest weight of the model in any answer, and how many slates it was to read.
    """
    if not walked:
        return {}
    asked = [one for one in walked if one.asked]
    share = {"weight": round(max(one.weight for one in walked), 6), "read": len(asked)}
    if not asked:
        return {"language_model": share}
    measured = [sum(one.stage_ms.values()) for one in asked if one.stage_ms]
    return {
        "language_model": share,
        "validity": validity.over_answers([one.wrong for one in asked], sum(one.was_read for one in asked)),
        "fallbacks": dict(Counter(one.fallback for one in asked if one.fallback is not None)),
        "agreement": agreement.over_answers([one.agreement for one in asked]),
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
