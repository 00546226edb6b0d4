"""For whom a system is better: values of each user by how much is known about the user and about what is looked for.

Buckets are looked at after the fact and many at once, so their intervals say where to look, not what was shown: a claim
about a bucket is a comparison of its own, made on a subset that was named before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from genrec.data.interactions import Interactions
from genrec.data.splits import Split
from genrec.evaluation import groups
from genrec.evaluation.metrics import Values
from genrec.evaluation.tables import Comparison, value_table


@dataclass(frozen=True, eq=False)
class Buckets:
    """A partition of m users: `of_user` [m] has positions in `labels`, -1 for users in none. `title` says by what."""

    title: str
    labels: tuple[str, ...]
    of_user: npt.NDArray[np.int64]


def by_quantiles(title: str, values: npt.NDArray[Any], count: int = 4) -> Buckets:
    """At most `count` buckets of whole numbers [m] with as equally many users as equal values, kept together, allow."""
    distinct, users = np.unique(values, return_counts=True)
    share = np.cumsum(users[:-1]) / max(len(values), 1)
    wanted = np.arange(1, count) / count
    nearest = np.abs(share[None] - wanted[:, None]).argmin(axis=1) if len(share) else np.zeros(0, np.int64)
    return by_edges(title, values, distinct[np.unique(nearest)].tolist())


def by_edges(title: str, values: npt.NDArray[Any], edges: Sequence[float]) -> Buckets:
    """Buckets of whole numbers [m], each up to and with its edge, the last one beyond. Empty ones are left out.

    A bucket is named by the smallest and the largest value that it holds.
    """
    place = np.searchsorted(np.asarray(edges, dtype=np.float64), values, side="left")
    used, of_user = np.unique(place, return_inverse=True)
    return Buckets(title, tuple(_range(values[place == bucket]) for bucket in used), of_user)


def by_name(title: str, of_user: npt.NDArray[np.integer[Any]], names: Sequence[str]) -> Buckets:
    """Buckets that have names [m, positions in `names`]; empty ones are left out."""
    used, again = np.unique(of_user, return_inverse=True)
    return Buckets(title, tuple(names[name] for name in used), again)


def buckets_of(split: Split, fit_on: Interactions, count: int = 4) -> dict[str, Buckets]:
    """By length of history, popularity of what is to be found, and whether anybody had touched it: from training alone.

    Histories are those of the split, popularity is the number of events in `fit_on` (see `HeldOut`), of several targets
    the median (the lower one of two).
    """
    events = np.diff(split.train.indptr)[split.users]
    popularity = np.bincount(fit_on.item, minlength=fit_on.n_items)
    of_targets = [np.sort(popularity[target]) for target in split.targets]
    median = np.array([found[(len(found) - 1) // 2] for found in of_targets], dtype=np.int64)
    untouched = np.array([np.mean(found == 0) for found in of_targets])
    kind = np.where(untouched == 0, 0, np.where(untouched < 1, 1, 2))
    return {
        "history_length": by_edges("Events in the history", events, groups.HISTORY_EDGES),
        "target_popularity": by_quantiles("Training events of the item to be found", median, count),
        "untouched": by_name(
            "Was the item to be found ever touched in training?", kind, ("touched", "some untouched", "untouched")
        ),
    }


def breakdown(
    values: Mapping[str, Values],
    columns: Sequence[str],
    dimensions: Mapping[str, Buckets],
    comparisons: Sequence[Comparison] = (),
    *,
    seed: int = 0,
) -> dict[str, Any]:
    """Means with intervals, and paired differences, of each bucket of each dimension; JSON-ready.

    `values` has [m, number of columns] of each system for the same m users. Returns dimension -> `title` and `buckets`:
    a list of `label`, `users` and `systems` (a table as of `genrec.evaluation.tables.value_table`).
    """
    return {
        name: {
            "title": buckets.title,
            "buckets": [
                _bucket(label, buckets.of_user == place, values, columns, comparisons, seed)
                for place, label in enumerate(buckets.labels)
            ],
        }
        for name, buckets in dimensions.items()
    }


def _bucket(
    label: str,
    members: npt.NDArray[np.bool_],
    values: Mapping[str, Values],
    columns: Sequence[str],
    comparisons: Sequence[Comparison],
    seed: int,
) -> dict[str, Any]:
    inside = {name: value[members] for name, value in values.items()}
    return {
        "label": label,
        "users": int(members.sum()),
        "systems": value_table(inside, columns, comparisons, seed=seed),
    }


def _range(values: npt.NDArray[Any]) -> str:
    low, high = int(values.min()), int(values.max())
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
