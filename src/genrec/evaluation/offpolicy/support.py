"""When importance weights cannot be trusted: their mean, their largest, and how many users they are worth."""

from __future__ import annotations

from typing import Any

import numpy as np

from genrec.data.interactions import BoolArray, FloatArray
from genrec.evaluation import significance
from genrec.evaluation.offpolicy.base import Terms, resample
from genrec.evaluation.offpolicy.rounds import Owners, Rounds

FEW = 100
"""With an effective sample of fewer users the interval of a bootstrap, which draws users, is too narrow."""
LEVEL = 0.99
"""Of the interval of the mean weight: a warning that comes with one sound log in twenty would be ignored."""
TOLERANCE = 0.05
"""How far the mean weight may be from 1 without a word, however sure that is."""


def effective_sample_size(weights: FloatArray) -> float:
    """(sum of w)^2 / sum of w^2: how many equal weights have the same variance; 0 if all weights are 0.

    Source: Kong, A note on importance sampling using standardized weights, 1992.
    """
    squares = float((weights**2).sum())
    return float(weights.sum()) ** 2 / squares if squares else 0.0


def diagnose(rounds: Rounds, seed: int = 0) -> dict[str, dict[str, Any]]:
    """For the weights of the lists and those of the places, as far as known: mean with interval, largest, sample size.

    The weights of a policy average 1 if the log could show all that the policy shows and the propensities are right.
    Places beyond the end of a list do not count. The sample size is that of the sums of each user's weights.
    """
    shown = np.ones(rounds.reward.shape, dtype=np.bool_) if rounds.shown is None else rounds.shown
    found = {}
    if rounds.prefix is not None:
        found["list"] = _measured(rounds.prefix[:, -1:], np.ones((len(rounds), 1), dtype=np.bool_), rounds.owner, seed)
    if rounds.place is not None and (rounds.reward.shape[1] > 1 or not found):  # else one and the same
        found["place"] = _measured(rounds.place, shown, rounds.owner, seed)
    return found


def reservations(policy: str, diagnosis: dict[str, dict[str, Any]]) -> list[str]:
    """What a reader of the figures of this policy must know, in words."""
    said = []
    for kind, found in diagnosis.items():
        low, high = found["mean_ci"]
        mean, size = found["mean"], found["effective_sample_size"]
        if high < 1 and mean < 1 - TOLERANCE:
            said.append(
                f"{policy}: the weights of each {kind} average {mean:.3g}, below 1: about {1 - mean:.0%} of what this "
                "policy shows was never, or hardly ever, shown in the log; its value there is not in the figures"
            )
        elif low > 1 and mean > 1 + TOLERANCE:
            said.append(
                f"{policy}: the weights of each {kind} average {mean:.3g}, above 1: propensities look too small"
            )
        if size < FEW:
            said.append(
                f"{policy}: the weights of each {kind} are worth {size:.0f} of {found['users']} users; the interval of "
                f"an estimator with these weights is too narrow (largest weight {found['largest']:.3g})"
            )
    return said


def _measured(weights: FloatArray, shown: BoolArray, owner: Owners, seed: int) -> dict[str, Any]:
    """Of weights [n, c] where `shown` [n, c]."""
    sums, counts = (weights * shown).sum(axis=1, keepdims=True), shown.sum(axis=1, keepdims=True, dtype=np.float64)
    means = resample([Terms(sums, counts)], owner, seed)[0]
    low, high = significance.interval(means[np.isfinite(means), None], LEVEL)
    of_users = np.bincount(owner, weights=sums[:, 0]).astype(np.float64)
    weights = weights[shown]
    return {
        "weights": len(weights),
        "users": len(of_users),
        "mean": round(float(weights.mean()), 6),
        "mean_ci": [round(float(low[0]), 6), round(float(high[0]), 6)],
        "largest": round(float(weights.max()), 6),
        "zero": round(float((weights == 0).mean()), 6),
        "effective_sample_size": round(effective_sample_size(of_users), 2),
    }
