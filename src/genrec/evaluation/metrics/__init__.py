"""One module for each metric, found by its file name: a new metric is a new file, or the dotted path of a module.

What a metric judges follows from the function it has:

- user: `per_user(lists) -> [m]`, one value for each user's list (`genrec.evaluation.lists`), NaN where it is not
  defined, so that systems can be compared user by user.
- set: `over_lists(lists, weights) -> [b]`, one value over all lists in each of b resamples, in which user u counts
  weights[b, u] times. A row of ones gives the value itself.
- row: `over_rows(user, clicked, p_click) -> float` over n labelled rows: whose each is (any whole numbers), outcomes (0
  or 1) and predictions in [0, 1]; NaN where it is not defined.

Every module has a `DEFINITION` in a line, which is printed with the results, says with `BETTER` which way is good, and
has the formula and its source in its docstring. Metrics of lists say with `READS` what they look at, and are written
with their k: `ndcg@10`.
"""

from __future__ import annotations

from typing import Literal, Protocol, cast

import numpy as np
import numpy.typing as npt

from genrec.artifacts.alternatives import ModuleAlternatives
from genrec.errors import GenrecError, NotFoundError, SettingsError
from genrec.evaluation.lists import Lists, Values

__all__ = ["Better", "Lists", "Reads", "Values"]

MOST_PLACES = 10_000
"""No list that is judged is longer."""
Better = Literal["higher", "lower", "neither"]
"""`neither`: the metric describes, and what is good depends on what is wanted."""
Reads = Literal["targets", "catalogue", "genres"]
"""`targets`: nothing but what was found, so a list without any of it has 0 in any order. The others read facts about
the catalogue, `genres` those of its items."""
KINDS = {"user": "per_user", "set": "over_lists", "row": "over_rows"}
"""Kind -> the function that metrics of this kind have."""


class Described(Protocol):
    """What all metrics have."""

    DEFINITION: str
    BETTER: Better


class Metric(Described, Protocol):
    """A module of this folder; it has one of the functions."""

    READS: Reads

    def per_user(self, lists: Lists) -> Values:
        """One value for each user [m]."""

    def over_lists(self, lists: Lists, weights: Values) -> Values:
        """One value for each resample [b] of weights [b, m]."""

    def over_rows(self, user: npt.NDArray[np.integer], clicked: Values, p_click: Values) -> float:
        """One value over n rows."""


METRICS: ModuleAlternatives[Described] = ModuleAlternatives("metric", "genrec.evaluation.metrics", Described)


def names(kind: str | None = None) -> list[str]:
    """All metrics in the box, or those of one of `KINDS`."""
    found = METRICS.names()
    return found if kind is None else [name for name in found if kind_of(name) == kind]


def metric(name: str) -> Metric:
    """The metric of that name or dotted path; NotFoundError with all names if there is none."""
    found = METRICS.find(name)
    kinds = _kinds(found)
    if len(kinds) != 1:
        raise NotFoundError(
            f"{name!r} is no metric: it has {' and '.join(kinds.values()) or 'no function that judges'}",
            f"give it one of {', '.join(KINDS.values())}",
        )
    if "row" not in kinds and not hasattr(found, "READS"):
        raise NotFoundError(f"{name!r} is no metric: it has no READS", "say what it looks at: READS = 'targets'")
    return cast(Metric, found)


def problem(text: str) -> str | None:
    """What is wrong with a metric as suites have it, for validation; None where nothing is."""
    if wrong := METRICS.problem(text.partition("@")[0]):
        return wrong
    try:
        parse(text)
    except GenrecError as error:
        return f"{error.message}; {error.hint}"
    return None


def kind_of(name: str) -> str:
    """Which of `KINDS` the metric is; NotFoundError if there is no such metric."""
    return next(iter(_kinds(metric(name))))


def reads(name: str) -> Reads:
    """What a metric of lists looks at; NotFoundError if there is no such metric."""
    return metric(name).READS


def parse(text: str) -> tuple[str, int | None]:
    """Name and k of a metric as suites have it: `ndcg@10` gives ("ndcg", 10), `log_loss` gives ("log_loss", None).

    NotFoundError if there is no such metric, SettingsError if a metric of lists has no k, or another metric has one.
    """
    name, at, k = text.partition("@")
    if kind_of(name) == "row":
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
    return "neither" if METRICS.problem(name) else METRICS.find(name).BETTER


def _kinds(found: object) -> dict[str, str]:
    return {kind: function for kind, function in KINDS.items() if hasattr(found, function)}
