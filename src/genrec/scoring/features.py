"""Features of a pool of candidates, by one function for training and serving: what both heads read.

`ItemStatistics` are fitted on a log up to a moment; histories are as of their own request. Rated rows are described by
statistics of the events before them, held-out positions by those of the log without them: no row is part of what
describes it, and statistics are as old as they will be in serving.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from genrec.data.histories import HistoryBatch, Index
from genrec.data.interactions import FloatArray, IntArray
from genrec.data.item_statistics import PRIOR, ItemStatistics
from genrec.data.labels import event_labels
from genrec.scoring.calibration import to_logit
from genrec.scoring.item_texts import ItemTexts
from genrec.text.encoders import Vectors

Floats = npt.NDArray[np.float32]

PAIR_FEATURES = (
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
    "cosine_newest",
    "cosine_recent",
)
MONOTONE = ("retriever", "retriever_z", "retriever_rank")
"""Columns of a pool of which more can never be worse."""

_NOISE_COLLABORATIVE = 10.0
_NOISE_TEXT = 3.0
_RECENT, _NEWEST = 5, 10


@dataclass(frozen=True, eq=False)
class CandidateFeatures:
    """n candidates of one request, without the language model.

    `retriever` [n] is the hybrid's score, `columns` [n, D] what `column_names` says, `item` [n] are positions (those of
    unknown items the one behind the last), `history` and `signal` [1, H, 2] are what the attention reads, `events` is
    the length of the whole history. `query` [n, 3] is how near the text is to a query in words, what words they share,
    and 1 where nothing but the query proposes the item; None without a query.
    """

    retriever: FloatArray
    columns: Floats
    item: IntArray
    history: HistoryBatch
    signal: Floats
    events: int
    query: FloatArray | None = None

    def __len__(self) -> int:
        return len(self.retriever)

    @property
    def pairs(self) -> Floats:
        """The pair features among the columns [n, F], in the order of PAIR_FEATURES."""
        return self.columns[:, -len(PAIR_FEATURES) :]


def column_names(parts: Sequence[str]) -> list[str]:
    """Names of the columns of `CandidateFeatures` for these retrievers."""
    return [*MONOTONE, *(f"{name}{form}" for name in parts for form in ("", "_z")), *PAIR_FEATURES]


def pool_columns(retriever: FloatArray, parts: Sequence[FloatArray], pairs: Floats) -> Floats:
    """Columns [n, D] in the order of `column_names`: hybrid scores [n], each retriever's [n], pair features [n, F]."""
    table = [retriever, standardised(retriever), -np.log(rankdata(-retriever)) if len(retriever) else retriever]
    table += [column for part in parts for column in (part, standardised(part))]
    return np.column_stack([np.column_stack(table), pairs]).astype(np.float32)


def signals(statistics: ItemStatistics, h: HistoryBatch) -> Floats:
    """What the attention reads of each event beside its text [Q, H, 2]: residual (see `ItemStatistics`) and label."""
    residual = statistics.residual(h.item, h.value) * h.mask
    return np.stack([residual, event_labels(h.value, statistics.liked) * h.mask], axis=-1).astype(np.float32)


def pair_features(
    statistics: ItemStatistics, texts: ItemTexts, h: HistoryBatch, query: Index, item: IntArray
) -> Floats:
    """Features [R, F] of R pairs: `query` [R] is the row of the histories, `item` [R] the position of the item."""
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
        "taste_text": _taste(texts.vectors, h, taste, query, item, _NOISE_TEXT),
        "taste_metadata": _metadata_taste(texts.values, h, taste, query, item),
        **_cosines(texts.vectors, h, label * weight, query, item),
    }
    return np.column_stack([columns[name] for name in PAIR_FEATURES]).astype(np.float32)


def standardised(values: FloatArray) -> FloatArray:
    """Zero mean and unit variance [n]; all 0 where the values are equal."""
    if not len(values):
        return values
    unit = values / max(1.0, float(np.abs(values).max()))  # the variance of huge scores would overflow
    spread = float(unit.std())
    return (unit - unit.mean()) / spread if spread > 1e-12 else np.zeros_like(unit)


def _taste(
    vectors: Vectors, h: HistoryBatch, residual: FloatArray, query: Index, item: IntArray, noise: float
) -> FloatArray:
    """Predicted residual [R] by ridge regression of each history's residuals on its items' vectors.

    w = (X'X + noise I)^-1 X'r with X [H, p] the vectors of the history: the posterior mean under w ~ N(0, I) and
    noise variance `noise`; an empty history predicts 0.
    """
    x = vectors[h.item] * h.mask[..., None]
    gram = np.matmul(x.transpose(0, 2, 1), x).astype(np.float64) + noise * np.eye(vectors.shape[1])
    moment = np.matmul(x.transpose(0, 2, 1), residual[..., None].astype(np.float32))
    w = np.linalg.solve(gram, moment)[..., 0]
    predicted: FloatArray = np.einsum("rp,rp->r", w[query], vectors[item])
    return predicted


def _metadata_taste(values: Vectors, h: HistoryBatch, residual: FloatArray, query: Index, item: IntArray) -> FloatArray:
    """Mean over the item's metadata values of the user's shrunken mean residual on each [R]; 0 without values."""
    x = values[h.item] * h.mask[..., None]
    total = np.einsum("qhv,qh->qv", x, residual.astype(np.float32))
    mean = total / (x.sum(axis=1) + PRIOR)
    own = values[item]
    affinity: FloatArray = (mean[query] * own).sum(axis=1) / np.maximum(own.sum(axis=1), 1.0)
    return affinity


def _cosines(
    vectors: Vectors, h: HistoryBatch, liked: FloatArray, query: Index, item: IntArray
) -> dict[str, FloatArray]:
    """Dot products of the item [R] with the nearest liked and disliked item of the history, with the newest one, and
    with the mean of the newest ten; 0 without one.
    """
    x, own = vectors[h.item], vectors[item]
    # No BLAS for one request: waking its threads costs more than the sum.
    dots = np.einsum("rp,hp->rh", own, x[0]) if len(h) == 1 else np.matmul(x[query], own[..., None])[..., 0]
    mask = h.mask[query]
    good = liked[query] > 0
    recent = np.where(mask, dots, 0.0)[:, -_NEWEST:].sum(axis=1) / np.maximum(mask[:, -_NEWEST:].sum(axis=1), 1)
    return {
        "cosine_liked": _largest(dots, good),
        "cosine_disliked": _largest(dots, mask & ~good),
        "cosine_newest": np.where(mask[:, -1], dots[:, -1], 0.0),
        "cosine_recent": recent,
    }


def _largest(dots: FloatArray, of: npt.NDArray[np.bool_]) -> FloatArray:
    return np.where(of.any(axis=1), np.where(of, dots, -np.inf).max(axis=1), 0.0)
