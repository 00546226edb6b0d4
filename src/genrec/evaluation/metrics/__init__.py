"""One module for each metric, found by its file name: a new metric is a new file.

A ranking metric has `per_user(ranked, targets, k) -> float64 [m]`, so that systems can be compared user by user.
`ranked` [m, K] holds item positions, best first, distinct within a row, padded at the end with -1. `targets` has the
positions of the relevant items of each of the m users. A user without relevant items counts 0.

A click metric has `over_rows(clicked, p_click) -> float` over n outcomes and predictions; NaN where it is undefined.

Every module has a `DEFINITION` in a line, which is printed with the results, and the source in its docstring.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Sequence
from typing import Protocol, cast

import numpy as np
import numpy.typing as npt

from genrec.data.interactions import IntArray
from genrec.errors import NotFoundError

Values = npt.NDArray[np.float64]


class RankingMetric(Protocol):
    """A module of this folder that judges ranked lists."""

    DEFINITION: str

    def per_user(self, ranked: IntArray, targets: Sequence[IntArray], k: int) -> Values:
        """One value for each user [m], over the first k places."""


class ClickMetric(Protocol):
    """A module of this folder that judges click probabilities."""

    DEFINITION: str

    def over_rows(self, clicked: Values, p_click: Values) -> float:
        """One value over n outcomes (0 or 1) and predictions in [0, 1]."""


def names() -> list[str]:
    """All metrics there are."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def ranking(name: str) -> RankingMetric:
    """The ranking metric of that name; NotFoundError if there is none."""
    return cast(RankingMetric, _load(name, "per_user"))


def click(name: str) -> ClickMetric:
    """The click metric of that name; NotFoundError if there is none."""
    return cast(ClickMetric, _load(name, "over_rows"))


def _load(name: str, function: str) -> object:
    if name in names():
        module = importlib.import_module(f"{__name__}.{name}")
        if hasattr(module, function):
            return module
    kind = "ranking" if function == "per_user" else "click"
    raise NotFoundError(f"there is no {kind} metric {name!r}", f"metrics: {', '.join(names())}")
