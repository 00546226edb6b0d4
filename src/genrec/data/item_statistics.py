"""Statistics of items from a log: rates, mean values, counts, recency, and factors of who likes what."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.sparse.linalg import svds

from genrec.data.interactions import FloatArray, IntArray, Interactions
from genrec.data.labels import Rows

PRIOR = 5.0
"""Weight of the base rate in every smoothed rate and mean, in events."""
_FACTORS = 16

Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class ItemStatistics:
    """What a log says about its items. Arrays are [I + 1] unless said otherwise: the last row is an unknown item."""

    liked: float
    value_mean: float
    value_scale: float
    prior: float
    newest: float
    span: float
    rate: FloatArray
    deviation: FloatArray
    count: FloatArray
    recent: FloatArray
    first: FloatArray
    factors: Vectors
    """[I + 1, r]: what users' likings of the items have in common."""

    @classmethod
    def fit(cls, interactions: Interactions, rows: Rows, liked: float, until: float = float("inf")) -> ItemStatistics:
        """From the events and labelled rows before `until`; without rows all items have the same rate.

        `count` and `recent` are of events that do not say no to the item.
        """
        log = interactions.select(interactions.timestamp < until)
        known = rows.now < until
        item, label = rows.item[known], rows.label[known]
        n_items = interactions.n_items + 1
        rated = log.value[~np.isnan(log.value)]
        mean, scale = (float(rated.mean()), float(rated.std()) or 1.0) if len(rated) else (0.0, 1.0)
        prior = float((label.sum() + 1) / (len(label) + 2))
        rate = (np.bincount(item, label, n_items) + PRIOR * prior) / (np.bincount(item, minlength=n_items) + PRIOR)
        taken = log.positive()
        count = np.bincount(taken.item, minlength=n_items).astype(np.float64)
        value = _signal(log.value, mean, scale)
        events = np.bincount(log.item, minlength=n_items)
        deviation = np.bincount(log.item, np.nan_to_num(value), n_items) / (events + PRIOR)
        oldest, newest = (float(log.timestamp.min()), float(log.timestamp.max())) if len(log) else (0.0, 0.0)
        span = (newest - oldest) or 1.0
        age = newest - taken.timestamp
        recent = np.bincount(taken.item, np.exp2(-age / (0.1 * span)), n_items).astype(np.float64)
        first = np.full(n_items, newest)
        np.minimum.at(first, log.item, log.timestamp)
        residual = np.where(np.isnan(value), 1.0, value - deviation[log.item])
        return cls(
            liked,
            mean,
            scale,
            prior,
            newest,
            span,
            rate,
            deviation,
            count,
            recent,
            first,
            _factors(log, residual),
        )

    def residual(self, item: IntArray, value: FloatArray) -> FloatArray:
        """How much more than the item's mean a value is, in standard deviations; 1 for an event without a value."""
        signal = _signal(value, self.value_mean, self.value_scale)
        return np.where(np.isnan(signal), 1.0, signal - self.deviation[item])


def _signal(value: FloatArray, mean: float, scale: float) -> FloatArray:
    return np.clip((value - mean) / scale, -3.0, 3.0)


def _factors(log: Interactions, residual: FloatArray) -> Vectors:
    """Item factors [I + 1, r]: right singular vectors times singular values of the residuals.

    From those of rated events the user's mean is taken. Scaled so that an event's item has mean square length 1.
    """
    rank = min(_FACTORS, log.n_users - 1, log.n_items - 1)
    if len(log) < 10 * _FACTORS or rank < 1:
        return np.zeros((log.n_items + 1, _FACTORS), dtype=np.float32)
    events = np.maximum(np.diff(log.indptr), 1)
    mean = np.bincount(log.user, residual, log.n_users) / (events + PRIOR)
    centred = np.where(np.isnan(log.value), residual, residual - mean[log.user])
    matrix = sparse.csr_matrix((centred, (log.user, log.item)), shape=(log.n_users, log.n_items))
    if not matrix.count_nonzero():  # all values are equal: there is nothing to have in common
        return np.zeros((log.n_items + 1, _FACTORS), dtype=np.float32)
    start = np.random.default_rng(0).standard_normal(min(matrix.shape))
    _, values, vectors = svds(matrix, k=rank, v0=start)
    factors = vectors.T * values
    length = np.sqrt(np.mean(np.sum(factors[log.item] ** 2, axis=1))) or 1.0
    padded = np.zeros((log.n_items + 1, _FACTORS), dtype=np.float32)
    padded[:-1, :rank] = factors / length
    return padded
