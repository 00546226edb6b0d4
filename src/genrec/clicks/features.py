"""The plain features of a (history, item) pair, by one function for training and serving.

`Statistics` are fitted on a log up to a moment; histories are as of their own query. Training fits statistics on the
events before each block of rows, so that no row is part of what describes it, and so that they are as old as they will
be in serving.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from genrec.clicks.calibration import to_logit
from genrec.clicks.histories import Histories, Index
from genrec.clicks.labels import event_labels
from genrec.clicks.statistics import PRIOR, ItemSide, Statistics, Vectors
from genrec.data.interactions import FloatArray, IntArray
from genrec.retrieval.base import Query

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

_NOISE_COLLABORATIVE = 10.0
_NOISE_TEXT = 3.0
_RECENT = 5


def pair_features(
    statistics: Statistics, side: ItemSide, histories: Histories, query: Index, item: IntArray
) -> npt.NDArray[np.float32]:
    """Features [R, F] of R pairs: `query` [R] is the row of `histories`, `item` [R] the position of the item."""
    h = histories
    weight = h.mask.astype(np.float64)
    events = weight.sum(axis=1)
    label = event_labels(h.value, statistics.liked)
    residual = statistics.residual(h.item, h.value) * weight
    user_value = residual.sum(axis=1) / (events + PRIOR)
    user_rate = ((label * weight).sum(axis=1) + PRIOR * statistics.prior) / (events + PRIOR)
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
    mean = total / (x.sum(axis=1) + PRIOR)
    own = values[item]
    affinity: FloatArray = (mean[query] * own).sum(axis=1) / np.maximum(own.sum(axis=1), 1.0)
    return affinity


def _cosines(vectors: Vectors, h: Histories, liked: FloatArray, query: Index, item: IntArray) -> dict[str, FloatArray]:
    """Largest dot product of the item with a liked and with a disliked item of the history [R]; 0 without one."""
    x, own = vectors[h.item], vectors[item]
    # No BLAS for one query: waking its threads costs more than the sum.
    dots = np.einsum("rp,hp->rh", own, x[0]) if len(h) == 1 else np.matmul(x[query], own[..., None])[..., 0]
    good, bad = liked > 0, h.mask & (liked == 0)
    return {"cosine_liked": _largest(dots, good[query]), "cosine_disliked": _largest(dots, bad[query])}


def _largest(dots: FloatArray, of: npt.NDArray[np.bool_]) -> FloatArray:
    return np.where(of.any(axis=1), np.where(of, dots, -np.inf).max(axis=1), 0.0)


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
