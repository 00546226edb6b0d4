"""The best of a pool: what of it goes on to the language model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from genrec.data.interactions import FloatArray
from genrec.domain import Candidates

Kept = npt.NDArray[np.intp]
"""Positions in a pool that are kept."""


def best(scores: FloatArray, size: int) -> Kept:
    """Positions of the `size` best of a pool by scores [n], ascending; of equal ones the first."""
    return np.sort(np.argsort(-scores, kind="stable")[:size])


def select_top(candidates: Candidates, scores: FloatArray, size: int) -> tuple[Candidates, Kept]:
    """The `size` best of a pool by scores [n], in the pool's order, and their positions in the pool."""
    kept = best(scores, size)
    return replace(candidates, items=tuple(candidates.items[position] for position in kept)), kept
