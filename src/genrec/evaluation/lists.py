"""Ranked lists under judgement: what every metric of lists starts from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from genrec.data.interactions import BoolArray, IntArray
from genrec.evaluation.catalogue import CatalogueFacts

Values = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Lists:
    """Lists of m users, of which the first k places are judged.

    `ranked` [m, K] holds item positions, best first, distinct within a row, padded at the end with -1. `targets` has
    the positions of the relevant items of each user; a user without any counts 0. `known` is what a list is compared
    with.
    """

    ranked: IntArray
    targets: Sequence[IntArray]
    k: int
    known: CatalogueFacts | None = None

    @property
    def facts(self) -> CatalogueFacts:
        """What is known of catalogue and users; ValueError if it was not given."""
        if self.known is None:
            raise ValueError("the metric needs facts about the catalogue")
        return self.known

    @property
    def top(self) -> IntArray:
        """The first k places [m, min(k, K)]."""
        return self.ranked[:, : self.k]

    @cached_property
    def hits(self) -> BoolArray:
        """Whether the item at each of the first k places is relevant to the user [m, min(k, K)]; padding never is."""
        return hits(self.top, self.targets)

    @cached_property
    def relevant(self) -> npt.NDArray[np.int64]:
        """Number of relevant items of each user [m]."""
        return np.fromiter((len(target) for target in self.targets), dtype=np.int64, count=len(self.targets))

    def mean_of(self, values: Values) -> Values:
        """Mean of values by item [I] over the first k places of each user [m]; NaN for an empty list."""
        return mean_over_places(values[self.top], self.top >= 0)

    def exposure(self, weights: Values) -> Values:
        """How often each item is among the first k [b, I] where user u counts weights[b, u] times."""
        from scipy.sparse import csr_matrix

        user, place = np.nonzero(self.top >= 0)
        shape = (self.facts.n_items, len(self.top))
        lists = csr_matrix((np.ones(len(user)), (self.top[user, place], user)), shape=shape)
        counts: Values = (lists @ weights.T).T
        return counts


def hits(top: IntArray, targets: Sequence[IntArray]) -> BoolArray:
    """Whether the item at each place [m, n] is relevant to the user; padding never is."""
    if not len(targets):
        return np.zeros(top.shape, dtype=np.bool_)
    if all(len(target) == 1 for target in targets):
        single: BoolArray = (top == np.concatenate(targets)[:, None]) & (top >= 0)
        return single
    relevant = np.concatenate(targets).astype(np.int64)
    width = int(max(relevant.max(initial=0), top.max(initial=0))) + 1
    owners = np.repeat(np.arange(len(targets)), [len(target) for target in targets])
    wanted = np.unique(owners * width + relevant)
    asked = np.arange(len(targets))[:, None] * width + np.maximum(top, 0)
    place = np.minimum(np.searchsorted(wanted, asked), max(len(wanted) - 1, 0))
    return (wanted[place] == asked) & (top >= 0) if len(wanted) else np.zeros(top.shape, dtype=np.bool_)


def mean_over_places(values: Values, counted: BoolArray) -> Values:
    """Mean of the values [m, n] of each user's list over the places that count [m, n]; NaN [m] where none does."""
    n = counted.sum(axis=1)
    sums = np.where(counted, values, 0.0).sum(axis=1)
    means: Values = np.divide(sums, n, out=np.full(len(n), np.nan), where=n > 0)
    return means
