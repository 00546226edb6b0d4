"""Expected calibration error: how far P(click) is from the click rate, averaged over bins of P(click).

    sum over bins of (rows in the bin / n) * |mean of p - share of clicks|

Source: Naeini, Cooper and Hauskrecht, Obtaining well calibrated probabilities using Bayesian binning, AAAI 2015.
"""

from __future__ import annotations

from genrec.clicks.calibration import expected_calibration_error
from genrec.evaluation.metrics import Values

DEFINITION = "mean over bins of |mean P(click) - click rate|, weighted by the rows of the bin"


def over_rows(p_click: Values, clicked: Values) -> float:
    """Value in [0, 1] over n rows; lower is better."""
    return expected_calibration_error(p_click, clicked)
