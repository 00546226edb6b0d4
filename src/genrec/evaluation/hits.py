"""Where the relevant items stand in ranked lists: what every ranking metric starts from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from genrec.data.interactions import BoolArray, IntArray


def hits(ranked: IntArray, targets: Sequence[IntArray], k: int) -> BoolArray:
    """Whether the item at each of the first k places is relevant to the user [m, min(k, K)]; padding never is."""
    top = ranked[:, :k]
    if not len(targets):
        return np.zeros(top.shape, dtype=np.bool_)
    if all(len(target) == 1 for target in targets):
        single: BoolArray = (top == np.concatenate(targets)[:, None]) & (top >= 0)
        return single
    relevant = np.concatenate(targets).astype(np.int64)
    width = int(max(relevant.max(initial=0), top.max(initial=0))) + 1
    owners = np.repeat(np.arange(len(targets)), relevant_counts(targets))
    wanted = np.unique(owners * width + relevant)
    asked = np.arange(len(targets))[:, None] * width + np.maximum(top, 0)
    place = np.minimum(np.searchsorted(wanted, asked), max(len(wanted) - 1, 0))
    return (wanted[place] == asked) & (top >= 0) if len(wanted) else np.zeros(top.shape, dtype=np.bool_)


def relevant_counts(targets: Sequence[IntArray]) -> npt.NDArray[np.int64]:
    """Number of relevant items of each user [m]."""
    return np.fromiter((len(target) for target in targets), dtype=np.int64, count=len(targets))


def mean_over_places(values: npt.NDArray[np.float64], counted: BoolArray) -> npt.NDArray[np.float64]:
    """Mean of the values [m, n] of each user's list over the places that count [m, n]; NaN [m] where none does."""
    n = counted.sum(axis=1)
    sums = np.where(counted, values, 0.0).sum(axis=1)
    means: npt.NDArray[np.float64] = np.divide(sums, n, out=np.full(len(n), np.nan), where=n > 0)
    return means


def exposure(ranked: IntArray, k: int, n_items: int, weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """How often each item is among the first k [b, n_items] where user u counts weights[b, u] times."""
    from scipy.sparse import csr_matrix

    top = ranked[:, :k]
    user, place = np.nonzero(top >= 0)
    lists = csr_matrix((np.ones(len(user)), (top[user, place], user)), shape=(n_items, len(top)))
    counts: npt.NDArray[np.float64] = (lists @ weights.T).T
    return counts
