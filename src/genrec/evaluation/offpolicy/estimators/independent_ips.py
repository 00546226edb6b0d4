"""Independent IPS: mean over lists of the sum over places of w_k * r_k, w_k the weight of the item at its place.

Unbiased if a click depends on the item and its place only (the item-position click model). Source: Li, Abbasi-Yadkori,
Kveton, Muthukrishnan, Vinay and Wen, Offline evaluation of ranking policies with click models, KDD 2018.
"""

from genrec.data.interactions import FloatArray
from genrec.evaluation.offpolicy.estimators import Terms

DEFINITION = "ips for each place alone, summed: holds if a click depends on the item and its place only"
NEEDS = ("reward", "place")


def terms(reward: FloatArray, place: FloatArray) -> Terms:
    """Sum over k of w_ik * r_ik."""
    return Terms.plain((place * reward).sum(axis=1))
