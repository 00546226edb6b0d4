"""Doubly robust: mean over lists of the sum over places of q(new) + w_k * (r_k - q(shown)).

q is a reward model: its guess for what the new policy shows is corrected by the weighted error of its guess for what
was shown. Unbiased if the propensities are right or the model is; the better the model, the less variance. Of what the
log can never show, the model alone speaks: where the weights average less than 1 the value is as good as its guess.

With one place this is Dudik, Langford and Li, Doubly robust policy evaluation and learning, ICML 2011; with several,
the weights of each place alone, under the item-position click model of `independent_ips`.
"""

from genrec.data.interactions import FloatArray
from genrec.evaluation.offpolicy.estimators import Terms

DEFINITION = "a reward model's guess for the new policy plus the ips of its errors, for each place alone, summed"
NEEDS = ("reward", "place", "predicted", "expected")


def terms(reward: FloatArray, place: FloatArray, predicted: FloatArray, expected: FloatArray) -> Terms:
    """Sum over k of q_ik(new) + w_ik * (r_ik - q_ik(shown))."""
    corrected = expected + place * (reward - predicted)
    return Terms.plain(corrected.sum(axis=1))
