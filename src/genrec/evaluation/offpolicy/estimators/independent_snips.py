"""Self-normalised independent IPS: sum over places of (sum of w_k * r_k over sum of w_k).

`independent_ips` with each place normalised by its own weights, as Swaminathan and Joachims (NeurIPS 2015) do for
single actions.
"""

from genrec.data.interactions import FloatArray
from genrec.evaluation.offpolicy.estimators import Terms

DEFINITION = "independent_ips with each place over the sum of its weights"
NEEDS = ("reward", "place")


def terms(reward: FloatArray, place: FloatArray) -> Terms:
    """w_ik * r_ik over w_ik, a column for each place."""
    return Terms(place * reward, place)
