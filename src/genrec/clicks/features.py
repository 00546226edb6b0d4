"""The plain features of a (history, item) pair, by one function for training and serving.

`Statistics` are fitted on a log up to a moment; histories are as of their own query. Training fits statistics on the
events before each block of rows, so that no row is part of what describes it, and so that they are as old as they will
be in serving.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.sparse.linalg import svds

from genrec.clicks.calibration import to_logit
from genrec.clicks.histories import Histories, Index
from genrec.clicks.labels import Rows, event_labels
from genrec.data.interactions import FloatArray, IntArray, Interactions
from genrec.domain import Item
from genrec.retrieval.base import Query
from genrec.retrieval.covisit import Fitted as Covisit

FEATURES = (
    "item_rate",
    "item_value",
    "item_count",
    "item_recent",
    "item_age",
    "user_rate",
    "user_value",
    "user_events",
    "user_value_recent",
    "user_gap",
    "taste_collaborative",
    "taste_text",
    "taste_metadata",
    "cosine_liked",
    "cosine_disliked",
    "covisit",
)

_PRIOR = 5.0
_FACTORS = 16
_WIDTH = 64
"""How many principal components of the encoder's vectors are kept."""
_NOISE_COLLABORATIVE = 10.0
_NOISE_TEXT = 3.0
_RECENT = 5
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
    covisit: Covisit

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
        rate = (np.bincount(item, label, n_items) + _PRIOR * prior) / (np.bincount(item, minlength=n_items) + _PRIOR)
        count = np.bincount(log.item, minlength=n_items).astype(np.float64)
        value = _signal(log.value, mean, scale)
        deviation = np.bincount(log.item, np.nan_to_num(value), n_items) / (count + _PRIOR)
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
            Covisit.fit(log, items),
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
    mean = np.bincount(log.user, residual, log.n_users) / (events + _PRIOR)
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


def pair_features(
    statistics: Statistics, side: ItemSide, histories: Histories, query: Index, item: IntArray
) -> npt.NDArray[np.float32]:
    """Features [R, F] of R pairs: `query` [R] is the row of `histories`, `item` [R] the position of the item."""
    h = histories
    weight = h.mask.astype(np.float64)
    events = weight.sum(axis=1)
    label = event_labels(h.value, statistics.liked)
    residual = statistics.residual(h.item, h.value) * weight
    user_value = residual.sum(axis=1) / (events + _PRIOR)
    user_rate = ((label * weight).sum(axis=1) + _PRIOR * statistics.prior) / (events + _PRIOR)
    recent = residual[:, -_RECENT:].sum(axis=1) / (weight[:, -_RECENT:].sum(axis=1) + 1.0)
    newest = np.where(h.mask[:, -1], h.timestamp[:, -1], h.now)
    gap = np.log1p(1e4 * np.maximum(h.now - newest, 0) / statistics.span)
    taste = np.where(np.isnan(h.value), residual, residual - user_value[:, None]) * weight
    columns = {
        "item_rate": to_logit(statistics.rate[item]),
        "item_value": statistics.deviation[item],
        "item_count": np.log1p(statistics.count[item]),
        "item_recent": np.log1p(statistics.recent[item]),
        "item_age": np.clip((h.now[query] - statistics.first[item]) / statistics.span, 0, 2),
        "user_rate": to_logit(user_rate)[query],
        "user_value": user_value[query],
        "user_events": np.log1p(events)[query],
        "user_value_recent": recent[query],
        "user_gap": gap[query],
        "taste_collaborative": _taste(statistics.factors, h, taste, query, item, _NOISE_COLLABORATIVE),
        "taste_text": _taste(side.vectors, h, taste, query, item, _NOISE_TEXT),
        "taste_metadata": _metadata_taste(side.values, h, taste, query, item),
        **_cosines(side.vectors, h, label * weight, query, item),
        "covisit": _covisit(statistics, h, query, item),
    }
    return np.column_stack([columns[name] for name in FEATURES]).astype(np.float32)


def _taste(
    vectors: Vectors, h: Histories, residual: FloatArray, query: Index, item: IntArray, noise: float
) -> FloatArray:
    """Predicted residual [R] by ridge regression of each query's residuals on its items' vectors.

    w = (X'X + noise I)^-1 X'r with X [H, p] the vectors of the history: the posterior mean under w ~ N(0, I) and
    noise variance `noise`; an empty history predicts 0.
    """
    x = vectors[h.item] * h.mask[..., None]
    gram = np.matmul(x.transpose(0, 2, 1), x).astype(np.float64) + noise * np.eye(vectors.shape[1])
    moment = np.matmul(x.transpose(0, 2, 1), residual[..., None].astype(np.float32))
    w = np.linalg.solve(gram, moment)[..., 0]
    predicted: FloatArray = np.einsum("rp,rp->r", w[query], vectors[item])
    return predicted


def _metadata_taste(values: Vectors, h: Histories, residual: FloatArray, query: Index, item: IntArray) -> FloatArray:
    """Mean over the item's metadata values of the user's shrunken mean residual on each [R]; 0 without values."""
    x = values[h.item] * h.mask[..., None]
    total = np.einsum("qhv,qh->qv", x, residual.astype(np.float32))
    mean = total / (x.sum(axis=1) + _PRIOR)
    own = values[item]
    affinity: FloatArray = (mean[query] * own).sum(axis=1) / np.maximum(own.sum(axis=1), 1.0)
    return affinity


def _cosines(vectors: Vectors, h: Histories, liked: FloatArray, query: Index, item: IntArray) -> dict[str, Any]:
    """Largest dot product of the item with a liked and with a disliked item of the history [R]; 0 without one."""
    x, own = vectors[h.item], vectors[item]
    # No BLAS for one query: waking its threads costs more than the sum.
    dots = np.einsum("rp,hp->rh", own, x[0]) if len(h) == 1 else np.matmul(x[query], own[..., None])[..., 0]
    good, bad = liked > 0, h.mask & (liked == 0)
    return {
        "cosine_liked": np.where(good[query], dots, 0).max(axis=1),
        "cosine_disliked": np.where(bad[query], dots, 0).max(axis=1),
    }


def _covisit(statistics: Statistics, h: Histories, query: Index, item: IntArray) -> FloatArray:
    """log(1 + co-visitation score) [R]; 0 for an unknown item."""
    unknown = len(statistics.count) - 1
    known = h.mask & (h.item < unknown)
    queries = [
        Query(h.item[row][known[row]], h.timestamp[row][known[row]], h.value[row][known[row]], float(h.now[row]))
        for row in range(len(h))
    ]
    scores = statistics.covisit.batch_scores(queries)[query, np.minimum(item, unknown - 1)]
    return np.where(item < unknown, np.log1p(scores.astype(np.float64)), 0.0)
