"""Paired bootstrap over users: how sure a mean is, whether a difference is more than luck, and what could be seen.

Users are the unit, because the values of one user belong together. All columns given together (systems, metrics) are
resampled by the same users, so differences between them are paired. Source: Efron and Tibshirani, An Introduction to
the Bootstrap, 1993; for rankings Sakai, Evaluating evaluation metrics based on the bootstrap, SIGIR 2006.

Several seeds of one system are averaged within each user first: intervals say what other users would have given with
the same seeds, and the standard deviation between seeds beside them what other seeds would have given. One is no part
of the other.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]

RESAMPLES = 1000
LEVEL = 0.95
POWER = 0.8
PARTS = 200
BLOCK_BYTES = 64 * 2**20


@dataclass(frozen=True, slots=True)
class Difference:
    """Mean of a - b over users with its interval and standard error.

    `p` is the two-sided share of resamples on the other side of 0.
    """

    mean: float
    low: float
    high: float
    p: float
    se: float

    @property
    def detectable(self) -> float:
        """The smallest true difference that this comparison would have found: see `minimum_detectable`."""
        return minimum_detectable(self.se)

    def users_needed(self, n_users: int) -> int | None:
        """How many users would settle a difference of the size that was seen, if it is real; None if it is 0.

        n * (minimum detectable difference / observed difference)^2: the standard error falls with the root of n.
        """
        if not (self.mean and math.isfinite(self.mean) and math.isfinite(self.se)):
            return None
        return max(1, math.ceil(n_users * (self.detectable / self.mean) ** 2))


def minimum_detectable(se: float, power: float = POWER, level: float = LEVEL) -> float:
    """The true difference that a two-sided test of this level finds with this power: (z(1 - a/2) + z(power)) * se.

    `se` is the standard error of the paired difference. At 95 % and a power of .8 it is 2.80 * se. Source: Cohen,
    Statistical Power Analysis for the Behavioral Sciences, 1988; for rankings Sakai, Topic set size design, 2016.
    """
    normal = NormalDist()
    return (normal.inv_cdf((1 + level) / 2) + normal.inv_cdf(power)) * se


def holm(p: Sequence[float]) -> list[float]:
    """p-values of a family of tests, adjusted so that any false finding in the family has a chance of 5 % at .05.

    The j-th smallest of n becomes the largest of (n - i + 1) * p(i) for i = 1..j, at most 1. Needs no independence.
    Source: Holm, A simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics 6, 1979.
    """
    adjusted, largest = [0.0] * len(p), 0.0
    for place, test in enumerate(sorted(range(len(p)), key=lambda test: p[test])):
        largest = max(largest, min(1.0, (len(p) - place) * p[test]))
        adjusted[test] = largest
    return adjusted


def over_seeds(values: Values) -> tuple[Values, Values]:
    """Values of several seeds [s, m, c]: averaged within users [m, c], and the mean over users of each seed [s, c].

    NaN stands for a user for whom a value is not defined; the average is over the seeds in which it is.
    """
    return _mean(values, axis=0), _mean(values, axis=1)


def user_weights(n_users: int, resamples: int = RESAMPLES, seed: int = 0) -> Iterator[npt.NDArray[np.float64]]:
    """How often each user is drawn in each resample, in blocks [b, n_users] of bounded size; rows sum to n_users."""
    generator = np.random.default_rng(seed)
    size = max(1, BLOCK_BYTES // (8 * max(n_users, 1)))
    for start in range(0, resamples, size):
        rows = min(size, resamples - start)
        block = np.empty((rows, n_users))
        for row in range(rows):
            block[row] = np.bincount(generator.integers(0, n_users, n_users), minlength=n_users)
        yield block


def bootstrap_means(values: Values, resamples: int = RESAMPLES, seed: int = 0) -> Values:
    """Means of the columns of `values` [m, c] in each resample of the m users [resamples, c].

    A NaN takes its user out of the column; NaN where a resample has no other users.
    """
    known = np.isfinite(values)
    blocks = user_weights(len(values), resamples, seed)
    if known.all():
        return np.concatenate([weights @ values for weights in blocks]) / len(values)
    filled, counted = np.where(known, values, 0.0), known.astype(np.float64)
    sums, counts = (
        np.concatenate(part) for part in zip(*((block @ filled, block @ counted) for block in blocks), strict=True)
    )
    means: Values = np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)
    return means


def left_out_weights(n_users: int, seed: int = 0) -> Iterator[npt.NDArray[np.float64]]:
    """Weights of users [b, n_users] that leave out each of up to 200 random parts of them once, in bounded blocks."""
    parts = min(n_users, PARTS)
    part = np.random.default_rng(seed).permutation(n_users) % parts
    size = max(1, BLOCK_BYTES // (8 * max(n_users, 1)))
    for start in range(0, parts, size):
        yield (part != np.arange(start, min(start + size, parts))[:, None]).astype(np.float64)


def jackknife_draws(value: Values, left_out: Values, resamples: int = RESAMPLES, seed: int = 0) -> Values:
    """Bootstrapped values [resamples, c] of measures [c] of all users together, from those with a part left out [g, c].

    Coverage or inequality of a bootstrap sample is that of fewer distinct users, so it would be off and too steady. The
    pseudo-values g * value - (g - 1) * left_out stand for the parts, and are resampled around the value. Their variance
    errs on the wide side. Source: Tukey, Bias and confidence in not-quite large samples, 1958; Efron and Stein, The
    jackknife estimate of variance, Annals of Statistics 9(3), 1981.
    """
    parts = len(left_out)
    pseudo = parts * value - (parts - 1) * left_out
    # A mean of g drawn values has a variance of (g - 1) / g of the unbiased one, which matters for few parts.
    spread = (pseudo - _mean(pseudo, axis=0)) * math.sqrt(parts / max(parts - 1, 1))
    return value + bootstrap_means(spread, resamples, seed)


def interval(means: Values, level: float = LEVEL) -> tuple[Values, Values]:
    """Percentile interval of bootstrapped columns [resamples, c]: low [c] and high [c]; NaN is left out."""
    quantile = np.nanquantile if np.isnan(means).any() else np.quantile
    low, high = quantile(means, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return low, high


def difference(estimate: float, resampled: Values, level: float = LEVEL) -> Difference:
    """A difference whose bootstrapped values [resamples] are known; those that are not defined (NaN) are left out.

    p = 2 * (1 + the smaller of: resamples <= 0, resamples >= 0) / (resamples + 1), at most 1: never exactly 0.
    """
    resampled = resampled[np.isfinite(resampled)]
    if not (len(resampled) and math.isfinite(estimate)):
        return Difference(math.nan, math.nan, math.nan, math.nan, math.nan)
    low, high = interval(resampled[:, None], level)
    other_side = min(int((resampled <= 0).sum()), int((resampled >= 0).sum()))
    p = min(1.0, 2 * (1 + other_side) / (len(resampled) + 1))
    return Difference(estimate, float(low[0]), float(high[0]), p, float(resampled.std()))


def paired(a: Values, b: Values, resamples: int = RESAMPLES, seed: int = 0, level: float = LEVEL) -> Difference:
    """Difference of the means of a [m] and b [m], two values of the same m users; users with a NaN are left out."""
    deltas = a - b
    estimate = float(_mean(deltas, axis=0))
    return difference(estimate, bootstrap_means(deltas[:, None], resamples, seed)[:, 0], level)


def _mean(values: Values, axis: int) -> Values:
    known = np.isfinite(values)
    counts = known.sum(axis=axis)
    sums = np.where(known, values, 0.0).sum(axis=axis)
    means: Values = np.divide(sums, counts, out=np.full(np.shape(sums), np.nan), where=counts > 0)
    return means
