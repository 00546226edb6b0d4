"""Inverse propensity scoring: mean of w * r, w the weight of the whole list and r the clicks on it.

Unbiased where the logging policy can show every list of the new one; with long lists few weights are not 0. For single
actions it is the estimator of Horvitz and Thompson, A generalization of sampling without replacement from a finite
universe, JASA 1952; for lists see Li, Chen, Kleban and Gupta, Counterfactual estimation and optimization of click
metrics in search engines, WWW 2015 companion.
"""

from genrec.data.interactions import FloatArray
from genrec.evaluation.offpolicy.estimators import Terms

DEFINITION = "inverse propensity scoring: mean of (weight of the whole list) x (clicks on it); unbiased"
NEEDS = ("reward", "prefix")


def terms(reward: FloatArray, prefix: FloatArray) -> Terms:
    """w_i * sum over k of r_ik."""
    return Terms.plain(prefix[:, -1] * reward.sum(axis=1))
