"""Logarithmic loss: the mean of -log of the probability given to what happened, in nats.

    -(y log p + (1 - y) log(1 - p)), averaged over rows

Source: Good, Rational decisions, Journal of the Royal Statistical Society B 14, 1952.
"""

import numpy as np
import numpy.typing as npt

from genrec.evaluation.metrics import Better, Values
from genrec.scoring.calibration import log_loss

DEFINITION = "mean of -log of the probability given to what happened, in nats"
BETTER: Better = "lower"


def over_rows(user: npt.NDArray[np.integer], clicked: Values, p_click: Values) -> float:
    """Value of 0 or more over n rows; lower is better."""
    return log_loss(clicked, p_click)
