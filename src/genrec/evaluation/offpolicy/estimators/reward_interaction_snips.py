"""Self-normalised reward interaction IPS: sum over places of (sum of w_1..k * r_k over sum of w_1..k).

The form that McInerney, Brost, Chandar, Mehrotra and Carterette recommend in Counterfactual evaluation of slate
recommendations with sequential reward interactions, KDD 2020.
"""

from genrec.data.interactions import FloatArray
from genrec.evaluation.offpolicy.estimators import Terms

DEFINITION = "reward_interaction_ips with each place over the sum of its weights"
NEEDS = ("reward", "prefix")


def terms(reward: FloatArray, prefix: FloatArray) -> Terms:
    """w_i,1..k * r_ik over w_i,1..k, a column for each place."""
    return Terms(prefix * reward, prefix)
