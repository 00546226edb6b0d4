"""Self-normalised independent IPS (SNIPS): each place over the sum of its own weights.

Source: each place as Swaminathan and Joachims, The self-normalized estimator for counterfactual learning, NeurIPS 2015,
do for single actions.
"""

from __future__ import annotations

from genrec.evaluation.offpolicy.base import Terms, needed
from genrec.evaluation.offpolicy.rounds import Rounds

DEFINITION = "independent_ips with each place over the sum of its weights"
NEEDS = ("reward", "place")


def terms(rounds: Rounds) -> Terms:
    """Weight of the place x click, over the weights of the place."""
    reward, place = needed(rounds, NEEDS)
    return Terms(place * reward, place)
