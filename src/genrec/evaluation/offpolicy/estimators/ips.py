"""Inverse propensity scoring (IPS) of whole lists.

Unbiased where the logging policy can show every list of the new one; with long lists few weights are not 0. Source:
Horvitz and Thompson, JASA 1952; for lists Li, Chen, Kleban and Gupta, WWW 2015 companion.
"""

from __future__ import annotations

from genrec.evaluation.offpolicy.base import Terms, needed
from genrec.evaluation.offpolicy.rounds import Rounds

DEFINITION = "inverse propensity scoring: mean of (weight of the whole list) x (clicks on it); unbiased"
NEEDS = ("reward", "prefix")


def terms(rounds: Rounds) -> Terms:
    """Weight of the list x its clicks."""
    reward, prefix = needed(rounds, NEEDS)
    return Terms.plain(prefix[:, -1] * reward.sum(axis=1))
