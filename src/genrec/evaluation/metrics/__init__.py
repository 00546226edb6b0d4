"""One module for each metric, found by its file name: a new metric is a new file.

`ranked` [m, K] holds item positions, best first, distinct within a row, padded at the end with -1. `targets` has the
positions of the relevant items of each of the m users; a user without relevant items counts 0. `facts` says what a list
is compared with (`genrec.evaluation.catalogue`). What a metric is made for follows from the function it has:

- ranking: `per_user(ranked, targets, k) -> [m]`, so that systems can be compared user by user.
- beyond accuracy: `per_list(ranked, targets, facts, k) -> [m]`, NaN for a user for whom it is not defined.
- set: `over_lists(ranked, targets, facts, k, weights) -> [b]`, one value over all lists in each of b resamples, in
  which user u counts weights[b, u] times. A row of ones gives the value itself.
- click: `over_rows(clicked, p_click) -> float` over n outcomes and predictions; NaN where it is undefined.
- grouped click: `over_user_rows(user, clicked, p_click) -> float`, the same from rows of which the user is known.
- slate: `by_label(presented, ranked, targets, k)`, lists beside the order in which their items were shown to the model.
- answer: `over_answers(...)`, figures of what a model made of its slates from what each answer says of itself.

Every module has a `DEFINITION` in a line, which is printed with the results, says with `BETTER` which way is good, and
has the formula and its source in its docstring. Suites and tables write a metric of lists with its k: `ndcg@10`.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Literal, Protocol, cast

import numpy as np
import numpy.typing as npt

from genrec.data.interactions import IntArray
from genrec.errors import NotFoundError, SettingsError

if TYPE_CHECKING:
    from genrec.evaluation.catalogue import CatalogueFacts

MOST_PLACES = 10_000
"""No list that is judged is longer."""
Values = npt.NDArray[np.float64]
Better = Literal["higher", "lower", "neither"]
"""`neither`: the metric describes, and what is good depends on what is wanted."""

KINDS = {
    "ranking": "per_user",
    "beyond accuracy": "per_list",
    "set": "over_lists",
    "click": "over_rows",
    "grouped click": "over_user_rows",
    "slate": "by_label",
    "answer": "over_answers",
}
"""Kind -> the function that metrics of this kind have."""

LIST_KINDS = ("ranking", "beyond accuracy", "set")
"""Kinds that judge the ranked lists of one system: what tables of systems have as columns."""

CUT_KINDS = (*LIST_KINDS, "slate")
"""Kinds that look at the first k places, and are written with a k."""


class Metric(Protocol):
    """What every module of this folder has."""

    DEFINITION: str
    BETTER: Better


class RankingMetric(Metric, Protocol):
    """Judges ranked lists by the relevant items alone."""

    def per_user(self, ranked: IntArray, targets: Sequence[IntArray], k: int) -> Values:
        """One value for each user [m], over the first k places."""


class BeyondMetric(Metric, Protocol):
    """Judges each ranked list by what is known of catalogue and user."""

    def per_list(self, ranked: IntArray, targets: Sequence[IntArray], facts: CatalogueFacts, k: int) -> Values:
        """One value for each user [m], over the first k places; NaN where it is not defined."""


class SetMetric(Metric, Protocol):
    """Judges all ranked lists together."""

    def over_lists(
        self, ranked: IntArray, targets: Sequence[IntArray], facts: CatalogueFacts, k: int, weights: Values
    ) -> Values:
        """One value for each resample [b] of weights [b, m], over the first k places; NaN where it is not defined."""


class ClickMetric(Metric, Protocol):
    """Judges click probabilities."""

    def over_rows(self, clicked: Values, p_click: Values) -> float:
        """One value over n outcomes (0 or 1) and predictions in [0, 1]."""


class GroupedClickMetric(Metric, Protocol):
    """Judges click probabilities within users."""

    def over_user_rows(self, user: npt.NDArray[np.integer], clicked: Values, p_click: Values) -> float:
        """One value over n users (any whole numbers), outcomes (0 or 1) and predictions in [0, 1]."""


@dataclass(frozen=True, slots=True)
class Described:
    """What a metric is."""

    name: str
    kind: str
    better: Better
    definition: str


def names(kind: str | None = None) -> list[str]:
    """All metrics there are, or those of one of `KINDS`."""
    found = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return found if kind is None else [name for name in found if hasattr(_module(name), KINDS[kind])]


def describe() -> list[Described]:
    """Every metric with its kind and definition."""
    modules = {name: cast(Metric, _module(name)) for name in names()}
    return [Described(name, kind_of(name), module.BETTER, module.DEFINITION) for name, module in modules.items()]


def kind_of(name: str) -> str:
    """Which of `KINDS` the metric is; NotFoundError if there is no such metric."""
    if name not in names():
        raise NotFoundError(f"there is no metric {name!r}", f"metrics: {', '.join(names())}")
    return next(kind for kind, function in KINDS.items() if hasattr(_module(name), function))


def parse(text: str) -> tuple[str, int | None]:
    """Name and k of a metric as suites have it: `ndcg@10` gives ("ndcg", 10), `log_loss` gives ("log_loss", None).

    NotFoundError if there is no such metric, SettingsError if a metric of lists has no k, or another metric has one.
    """
    name, at, k = text.partition("@")
    if kind_of(name) not in CUT_KINDS:
        if at:
            raise SettingsError(f"the metric {name} has no places to cut at", f"write {name}")
        return name, None
    if not (k.isascii() and k.isdecimal() and 0 < int(k) <= MOST_PLACES):
        raise SettingsError(
            f"the metric {name} needs the number of places it looks at, up to {MOST_PLACES:,}", f"write {name}@10"
        )
    return name, int(k)


def better(column: str) -> Better:
    """Which way is good for a column of a table such as `ndcg@10` or `log_loss`; `neither` if it is no metric's."""
    name = column.partition("@")[0]
    return cast(Metric, _module(name)).BETTER if name in names() else "neither"


def definition(name: str) -> str:
    """What the metric is, in a line; NotFoundError if there is no such metric."""
    kind_of(name)
    return cast(Metric, _module(name)).DEFINITION


def ranking(name: str) -> RankingMetric:
    """The ranking metric of that name; NotFoundError if there is none."""
    return cast(RankingMetric, _load(name, "ranking"))


def beyond(name: str) -> BeyondMetric:
    """The metric of single lists beyond accuracy of that name; NotFoundError if there is none."""
    return cast(BeyondMetric, _load(name, "beyond accuracy"))


def overall(name: str) -> SetMetric:
    """The metric over all lists of that name; NotFoundError if there is none."""
    return cast(SetMetric, _load(name, "set"))


def click(name: str) -> ClickMetric:
    """The click metric of that name; NotFoundError if there is none."""
    return cast(ClickMetric, _load(name, "click"))


def grouped_click(name: str) -> GroupedClickMetric:
    """The click metric within users of that name; NotFoundError if there is none."""
    return cast(GroupedClickMetric, _load(name, "grouped click"))


def _load(name: str, kind: str) -> ModuleType:
    if name in names() and hasattr(module := _module(name), KINDS[kind]):
        return module
    raise NotFoundError(f"there is no {kind} metric {name!r}", f"{kind} metrics: {', '.join(names(kind))}")


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"{__name__}.{name}")
