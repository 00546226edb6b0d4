"""Doubly robust estimation: a reward model's guess, and the inverse propensity score of what it gets wrong.

Unbiased if the propensities are right or the reward model q is; the better the model, the less variance. Of what the
log can never show, the model alone speaks. Source: with one place Dudik, Langford and Li, Doubly robust policy
evaluation and learning, ICML 2011; with several, under the click model of `independent_ips`.
"""

from __future__ import annotations

from genrec.evaluation.offpolicy.base import Terms, needed
from genrec.evaluation.offpolicy.rounds import Rounds

DEFINITION = "a reward model's guess for the new policy plus the ips of its errors, for each place alone, summed"
NEEDS = ("reward", "place", "predicted", "expected")


def terms(rounds: Rounds) -> Terms:
    """Sum over places of q of the new policy + weight x (click - q of what was shown)."""
    reward, place, predicted, expected = needed(rounds, NEEDS)
    return Terms.plain((expected + place * (reward - predicted)).sum(axis=1))
