"""Paired bootstrap over users: how sure a mean is, and whether a difference is more than luck.

Users are the unit, because the values of one user belong together. All columns given together (systems, metrics) are
resampled by the same users, so differences between them are paired. Source: Efron and Tibshirani, An Introduction to
the Bootstrap, 1993; for rankings Sakai, Evaluating evaluation metrics based on the bootstrap, SIGIR 2006.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]

RESAMPLES = 1000
LEVEL = 0.95
_BLOCK_BYTES = 64 * 2**20


@dataclass(frozen=True, slots=True)
class Difference:
    """Mean of a - b over users with its interval; `p` is the two-sided share of resamples on the other side of 0."""

    mean: float
    low: float
    high: float
    p: float


def user_weights(n_users: int, resamples: int = RESAMPLES, seed: int = 0) -> Iterator[npt.NDArray[np.float64]]:
    """How often each user is drawn in each resample, in blocks [b, n_users] of bounded size; rows sum to n_users."""
    generator = np.random.default_rng(seed)
    size = max(1, _BLOCK_BYTES // (8 * max(n_users, 1)))
    for start in range(0, resamples, size):
        rows = min(size, resamples - start)
        block = np.empty((rows, n_users))
        for row in range(rows):
            block[row] = np.bincount(generator.integers(0, n_users, n_users), minlength=n_users)
        yield block


def bootstrap_means(values: Values, resamples: int = RESAMPLES, seed: int = 0) -> Values:
    """Means of the columns of `values` [m, c] in each resample of the m users [resamples, c]."""
    return np.concatenate([weights @ values for weights in user_weights(len(values), resamples, seed)]) / len(values)


def interval(means: Values, level: float = LEVEL) -> tuple[Values, Values]:
    """Percentile interval of bootstrapped columns [resamples, c]: low [c] and high [c]."""
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return low, high


def difference(estimate: float, resampled: Values, level: float = LEVEL) -> Difference:
    """A difference whose bootstrapped values [resamples] are known.

    p = 2 * (1 + the smaller of: resamples <= 0, resamples >= 0) / (resamples + 1), at most 1: never exactly 0.
    """
    low, high = interval(resampled[:, None], level)
    other_side = min(int((resampled <= 0).sum()), int((resampled >= 0).sum()))
    p = min(1.0, 2 * (1 + other_side) / (len(resampled) + 1))
    return Difference(estimate, float(low[0]), float(high[0]), p)


def paired(a: Values, b: Values, resamples: int = RESAMPLES, seed: int = 0, level: float = LEVEL) -> Difference:
    """Difference of the means of a [m] and b [m], two values of the same m users."""
    deltas = a - b
    return difference(float(deltas.mean()), bootstrap_means(deltas[:, None], resamples, seed)[:, 0], level)
