"""Self-normalised reward interaction IPS: each place over the sum of the weights down to it.

Source: McInerney, Brost, Chandar, Mehrotra and Carterette, Counterfactual evaluation of slate recommendations with
sequential reward interactions, KDD 2020.
"""

from __future__ import annotations

from genrec.evaluation.offpolicy.base import Terms, needed
from genrec.evaluation.offpolicy.rounds import Rounds

DEFINITION = "reward_interaction_ips with each place over the sum of its weights"
NEEDS = ("reward", "prefix")


def terms(rounds: Rounds) -> Terms:
    """Weight down to the place x click, over those weights."""
    reward, prefix = needed(rounds, NEEDS)
    return Terms(prefix * reward, prefix)
