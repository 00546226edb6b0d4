"""Reward interaction IPS: mean over lists of the sum over places of w_1..k * r_k, w_1..k the weight of the list down to
the place.

Unbiased if users read from the top, so that a click depends on the items above and not on those below (the cascade
assumption). Source: McInerney, Brost, Chandar, Mehrotra and Carterette, Counterfactual evaluation of slate
recommendations with sequential reward interactions, KDD 2020 (without its normalisation).
"""

from genrec.data.interactions import FloatArray
from genrec.evaluation.offpolicy.estimators import Terms

DEFINITION = "ips with the weight of the list down to each place: holds if a click depends on the items above it"
NEEDS = ("reward", "prefix")


def terms(reward: FloatArray, prefix: FloatArray) -> Terms:
    """Sum over k of w_i,1..k * r_ik."""
    return Terms.plain((prefix * reward).sum(axis=1))
