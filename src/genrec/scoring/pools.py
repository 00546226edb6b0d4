"""Pools to learn from: what retrieval would have shown where it is known what users took, and what was shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from genrec.data.interactions import FloatArray
from genrec.scoring.features import CandidateFeatures


@dataclass(frozen=True, eq=False)
class TrainingPool:
    """A pool and the position of what the user then took, None where the pool does not hold it.

    `weight` makes up for how rarely the place at which it was shown is looked at.
    """

    features: CandidateFeatures
    target: int | None
    weight: float = 1.0


@dataclass(frozen=True, eq=False)
class ShownPool:
    """Items that were shown as one list: their places [n] from 1, and 1 where they were clicked [n]."""

    features: CandidateFeatures
    places: FloatArray
    clicked: FloatArray


@dataclass(frozen=True, eq=False)
class TrainingPools:
    """Pools at held-out positions of training and of validation users, validation pools of queries in words, and
    shown lists in order of time. `parts` are the retrievers whose scores are among the columns.
    """

    parts: tuple[str, ...] = ()
    train: Sequence[TrainingPool] = ()
    validation: Sequence[TrainingPool] = ()
    asked: Sequence[TrainingPool] = ()
    shown: Sequence[ShownPool] = ()
