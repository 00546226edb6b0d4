"""Self-normalised inverse propensity scoring: sum of w * r over sum of w, w the weight of the whole list.

Biased by O(1/n), with less variance than `ips`, and never outside of the range of the rewards. Source: Swaminathan and
Joachims, The self-normalized estimator for counterfactual learning, NeurIPS 2015.
"""

from genrec.data.interactions import FloatArray
from genrec.evaluation.offpolicy.estimators import Terms

DEFINITION = "self-normalised ips: the same sum over the sum of the weights; stays in the range of the rewards"
NEEDS = ("reward", "prefix")


def terms(reward: FloatArray, prefix: FloatArray) -> Terms:
    """w_i * sum over k of r_ik, over w_i."""
    weight = prefix[:, -1:]
    return Terms(weight * reward.sum(axis=1, keepdims=True), weight)
