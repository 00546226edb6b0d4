"""Agreement of two systems: Kendall's tau-b between the orders of the items that both have among their first k.

    (pairs in the same order - pairs in opposite order) / pairs

1: the same order, -1: the reverse. Source: Kendall, A new measure of rank correlation, Biometrika 30, 1938.
"""

from __future__ import annotations

import numpy as np

from genrec.checks import agreement
from genrec.data.interactions import IntArray
from genrec.evaluation.metrics import Better, Values

DEFINITION = "Kendall's tau-b between two orders of the items that both lists have among their first k"
BETTER: Better = "neither"


def between(ranked: IntArray, other: IntArray, k: int) -> Values:
    """Value in [-1, 1] for each user [m] with lists [m, K] and [m, L]; NaN for fewer than two common items."""
    taus = np.full(len(ranked), np.nan)
    for row, (first, second) in enumerate(zip(ranked[:, :k], other[:, :k], strict=True)):
        _, places, other_places = np.intersect1d(first[first >= 0], second[second >= 0], True, True)
        tau = agreement(places.astype(np.float64), other_places.astype(np.float64))
        taus[row] = np.nan if tau is None else tau
    return taus
