"""Self-normalised inverse propensity scoring (SNIPS) of whole lists.

Biased by O(1/n), with less variance than `ips`. Source: Swaminathan and Joachims, The self-normalized estimator for
counterfactual learning, NeurIPS 2015.
"""

from __future__ import annotations

from genrec.evaluation.offpolicy.base import Terms, needed
from genrec.evaluation.offpolicy.rounds import Rounds

DEFINITION = "self-normalised ips: the same sum over the sum of the weights; stays in the range of the rewards"
NEEDS = ("reward", "prefix")


def terms(rounds: Rounds) -> Terms:
    """Weight of the list x its clicks, over the weights."""
    reward, prefix = needed(rounds, NEEDS)
    return Terms(prefix[:, -1:] * reward.sum(axis=1, keepdims=True), prefix[:, -1:])
