"""What a log says about its items, and what their texts and metadata say without any log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.sparse.linalg import svds

from genrec.clicks.labels import Rows
from genrec.data.interactions import FloatArray, IntArray, Interactions
from genrec.domain import Item
from genrec.retrieval.retrievers.covisit import CovisitRetriever

PRIOR = 5.0
"""Weight of the base rate in every smoothed rate and mean, in events."""
_SOURCE_POWER, _TARGET_POWER = 0.4, 0.2
_FACTORS = 16
_WIDTH = 64
"""How many principal components of the encoder's vectors are kept."""
_VALUES = 64
"""How many of the most frequent metadata values are looked at."""

Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Statistics:
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
    covisit: CovisitRetriever

    @classmethod
    def fit(
        cls, interactions: Interactions, items: Sequence[Item], rows: Rows, liked: float, until: float
    ) -> Statistics:
        """From the events and labelled rows before `until`."""
        log = interactions.select(interactions.timestamp < until)
        known = rows.now < until
        item, label = rows.item[known], rows.label[known]
        n_items = interactions.n_items + 1
        rated = log.value[~np.isnan(log.value)]
        mean, scale = (float(rated.mean()), float(rated.std()) or 1.0) if len(rated) else (0.0, 1.0)
        prior = float((label.sum() + 1) / (len(label) + 2))
        rate = (np.bincount(item, label, n_items) + PRIOR * prior) / (np.bincount(item, minlength=n_items) + PRIOR)
        count = np.bincount(log.item, minlength=n_items).astype(np.float64)
        value = _signal(log.value, mean, scale)
        deviation = np.bincount(log.item, np.nan_to_num(value), n_items) / (count + PRIOR)
        oldest, newest = (float(log.timestamp.min()), float(log.timestamp.max())) if len(log) else (0.0, 0.0)
        span = (newest - oldest) or 1.0
        recent = np.bincount(log.item, np.exp2((log.timestamp - newest) / (0.1 * span)), n_items).astype(np.float64)
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
            CovisitRetriever.fit(log, items, source_power=_SOURCE_POWER, target_power=_TARGET_POWER),
        )

    def residual(self, item: IntArray, value: FloatArray) -> FloatArray:
        """How much more than the item's mean a value is, in standard deviations; 1 for an event without a value."""
        signal = _signal(value, self.value_mean, self.value_scale)
        return np.where(np.isnan(signal), 1.0, signal - self.deviation[item])

    def together(self, source: IntArray, target: IntArray) -> FloatArray:
        """How often known items stood near each other in histories [s, t]: the sum of 1/d over d <= 20 events.

        0 for the same item, and for what is not among the strongest neighbours of the source.
        """
        often = self.covisit.links(source, target).astype(np.float64)
        often *= np.outer(np.maximum(self.count[source], 1) ** _SOURCE_POWER, self.count[target] ** _TARGET_POWER)
        return np.where(source[:, None] == target, 0.0, often)


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
    start = np.random.default_rng(0).standard_normal(min(matrix.shape))
    _, values, vectors = svds(matrix, k=rank, v0=start)
    factors = vectors.T * values
    length = np.sqrt(np.mean(np.sum(factors[log.item] ** 2, axis=1))) or 1.0
    padded = np.zeros((log.n_items + 1, _FACTORS), dtype=np.float32)
    padded[:-1, :rank] = factors / length
    return padded


@dataclass(frozen=True, eq=False)
class ItemSide:
    """What is known of the items without any event: text vectors [I + 1, p], metadata values [I + 1, v].

    The last row, all zeros, is an unknown item: as the vectors are centred, it is the mean one.
    """

    vectors: Vectors
    values: Vectors

    @classmethod
    def of(cls, items: Sequence[Item], vectors: Vectors) -> ItemSide:
        """From encoder vectors [I, d] of the items."""
        return cls(_principal(vectors), _metadata_values(items))


def _principal(vectors: Vectors) -> Vectors:
    """The first components [I + 1, p] of centred vectors [I, d], p <= 64, scaled to mean square length 1."""
    centred = vectors.astype(np.float64) - vectors.mean(axis=0)
    _, basis = np.linalg.eigh(centred.T @ centred)
    components = centred @ basis[:, ::-1][:, :_WIDTH]
    length = np.sqrt(np.mean(np.sum(components**2, axis=1))) or 1.0
    padded: Vectors = np.concatenate([components / length, np.zeros((1, components.shape[1]))]).astype(np.float32)
    return padded


def _metadata_values(items: Sequence[Item], size: int = _VALUES) -> Vectors:
    """Incidence [I + 1, v] of the `size` most frequent values of text-list metadata (genres, tags)."""
    counts: dict[tuple[str, str], int] = {}
    pairs = [
        {(key, value) for key, values in item.metadata.items() if isinstance(values, tuple) for value in values}
        for item in items
    ]
    for pair in pairs:
        for value in pair:
            counts[value] = counts.get(value, 0) + 1
    chosen = sorted(counts, key=lambda value: (-counts[value], value))[:size]
    column = {value: index for index, value in enumerate(chosen)}
    table = np.zeros((len(items) + 1, max(len(chosen), 1)), dtype=np.float32)
    for row, pair in enumerate(pairs):
        for value in pair:
            if value in column:
                table[row, column[value]] = 1.0
    return table
