"""Reward interaction IPS: each place by the weight of the list down to it.

Unbiased if users read from the top (the cascade assumption). Source: McInerney, Brost, Chandar, Mehrotra and
Carterette, Counterfactual evaluation of slate recommendations with sequential reward interactions, KDD 2020, without
normalisation.
"""

from __future__ import annotations

from genrec.evaluation.offpolicy.base import Terms, needed
from genrec.evaluation.offpolicy.rounds import Rounds

DEFINITION = "ips with the weight of the list down to each place: holds if a click depends on the items above it"
NEEDS = ("reward", "prefix")


def terms(rounds: Rounds) -> Terms:
    """Sum over places of weight down to the place x click."""
    reward, prefix = needed(rounds, NEEDS)
    return Terms.plain((prefix * reward).sum(axis=1))
