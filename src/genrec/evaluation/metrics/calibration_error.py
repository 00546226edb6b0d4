"""Expected calibration error: how far P(click) is from the click rate, averaged over 15 bins of equal size.

    sum over bins of (rows in the bin / n) * |mean of p - share of clicks|

Source: Naeini, Cooper and Hauskrecht, Obtaining well calibrated probabilities using Bayesian binning, AAAI 2015; bins
of equal size after Nguyen and O'Connor, Posterior calibration and exploratory analysis, EMNLP 2015.
"""

import numpy as np
import numpy.typing as npt

from genrec.evaluation.metrics import Better, Values
from genrec.scoring.calibration import expected_calibration_error

DEFINITION = "|mean P(click) - click rate|, averaged over 15 bins of P(click) with equally many rows"
BETTER: Better = "lower"


def over_rows(user: npt.NDArray[np.integer], clicked: Values, p_click: Values) -> float:
    """Value in [0, 1] over n rows; lower is better."""
    return expected_calibration_error(clicked, p_click)
