"""NDCG: the discounts of ranks in normalised discounted cumulative gain, of which all that measure it are made.

Source: Jaervelin and Kekaelaeinen, Cumulated gain-based evaluation of IR techniques, ACM TOIS 20(4), 2002.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from genrec.data.interactions import FloatArray


def discounts(k: int) -> FloatArray:
    """What an item with gain 1 is worth at each of the first k places [k]: 1 / log2(rank + 2), ranks from 0."""
    worth: FloatArray = 1 / np.log2(np.arange(k) + 2)
    return worth


def gains(rank: npt.NDArray[np.integer], k: int) -> FloatArray:
    """The same by rank from 0, any shape; 0 beyond the first k."""
    worth: FloatArray = np.where(rank < k, 1 / np.log2(rank + 2), 0.0)
    return worth
