"""Independent inverse propensity scoring (IPS): each place of a list by its own weight.

Unbiased under the item-position click model. Source: Li, Abbasi-Yadkori, Kveton, Muthukrishnan, Vinay and Wen, Offline
evaluation of ranking policies with click models, KDD 2018.
"""

from __future__ import annotations

from genrec.evaluation.offpolicy.base import Terms, needed
from genrec.evaluation.offpolicy.rounds import Rounds

DEFINITION = "ips for each place alone, summed: holds if a click depends on the item and its place only"
NEEDS = ("reward", "place")


def terms(rounds: Rounds) -> Terms:
    """Sum over places of weight of the place x click."""
    reward, place = needed(rounds, NEEDS)
    return Terms.plain((place * reward).sum(axis=1))
