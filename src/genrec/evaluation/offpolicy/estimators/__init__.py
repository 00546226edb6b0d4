"""One module for each estimator, found by its file name: a new estimator is a new file.

Every estimator here is a sum over columns c of mean(numerator[:, c]) / mean(denominator[:, c]) over rounds, so that
`genrec.evaluation.offpolicy.intervals` can resample any of them. The value is what is gained with one list: the
expected number of clicks on it; with one place, the click rate.

Every module has a `DEFINITION` in a line, which is printed with the results, the fields of `Rounds` that it `NEEDS`,
and the source in its docstring.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, cast

import numpy as np

from genrec.data.interactions import FloatArray
from genrec.errors import NotFoundError
from genrec.evaluation.offpolicy.rounds import Rounds


@dataclass(frozen=True, eq=False)
class Terms:
    """What each of n rounds adds: `numerator` and `denominator` [n, c]."""

    numerator: FloatArray
    denominator: FloatArray

    @classmethod
    def plain(cls, gained: FloatArray) -> Terms:
        """For estimators that are a mean of `gained` [n]."""
        return cls(gained[:, None], np.ones((len(gained), 1)))


class Estimator(Protocol):
    """A module of this folder."""

    DEFINITION: str
    NEEDS: tuple[str, ...]

    terms: Callable[..., Terms]
    """Called by keyword with the fields of `Rounds` that it needs, each [n, K]."""


def names() -> list[str]:
    """All estimators there are."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def estimator(name: str) -> Estimator:
    """The estimator of that name; NotFoundError if there is none."""
    if name not in names():
        raise NotFoundError(f"there is no estimator {name!r}", f"estimators: {', '.join(names())}")
    return cast(Estimator, importlib.import_module(f"{__name__}.{name}"))


def terms(name: str, rounds: Rounds) -> Terms:
    """What each round adds to the estimate of that name. The fields that it needs are there."""
    chosen = estimator(name)
    return chosen.terms(**{field: getattr(rounds, field) for field in chosen.NEEDS})


def usable(rounds: Rounds) -> list[str]:
    """The estimators whose needs the rounds meet."""
    return [name for name in names() if all(getattr(rounds, field) is not None for field in estimator(name).NEEDS)]
