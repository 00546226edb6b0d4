"""Area under the ROC curve: the probability that a click gets a higher P(click) than a non-click, ties counting half.

Source: Hanley and McNeil, The meaning and use of the area under a ROC curve, Radiology 143, 1982.
"""

import numpy as np
import numpy.typing as npt

from genrec.evaluation.metrics import Better, Values
from genrec.scoring.calibration import auc

DEFINITION = "share of pairs of a click and a non-click that are ordered rightly, ties counting half"
BETTER: Better = "higher"


def over_rows(user: npt.NDArray[np.integer], clicked: Values, p_click: Values) -> float:
    """Value in [0, 1] over n rows; .5 is chance."""
    return auc(clicked, p_click)
