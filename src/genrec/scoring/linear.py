"""Click logits of small logs: a weighted sum of three standardised columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from genrec.data.interactions import FloatArray
from genrec.scoring.features import PAIR_FEATURES, CandidateFeatures, standardised

_COSINE = PAIR_FEATURES.index("cosine_recent")


@dataclass(frozen=True)
class LinearWeights:
    """Weights of retriever score, minus the logarithm of its rank, and cosine to the newest events of the history.

    Each column is standardised in its pool. None is negative: a column that misleads is left out, never turned around.
    """

    retriever: float = 1.0
    retriever_rank: float = 0.0
    cosine: float = 0.0

    def logits(self, features: CandidateFeatures) -> FloatArray:
        """Weighted sums [n]; comparable within the pool only."""
        logits: FloatArray = _columns(features) @ np.array([self.retriever, self.retriever_rank, self.cosine])
        return logits


def fit_linear(pools: Sequence[CandidateFeatures], targets: Sequence[int], l2: float = 0.01) -> LinearWeights:
    """Minimises the mean of -log softmax(logits)[target] + l2 * |w|^2 with w >= 0 (convex; L-BFGS-B).

    This is ListNet's top-one loss (Cao et al., 2007). Pools of one item say nothing; without any other the retriever
    decides.
    """
    chosen = [(pool, target) for pool, target in zip(pools, targets, strict=True) if len(pool) > 1]
    if not chosen:
        return LinearWeights()
    parts = [_columns(pool) for pool, _ in chosen]
    sizes = np.array([len(part) for part in parts])
    starts = np.cumsum(sizes) - sizes
    positions = starts + [target for _, target in chosen]
    stacked = np.concatenate(parts)

    def loss(weights: FloatArray) -> tuple[float, FloatArray]:
        logits = stacked @ weights
        shifted = logits - np.repeat(np.maximum.reduceat(logits, starts), sizes)
        total = np.add.reduceat(np.exp(shifted), starts)
        p = np.exp(shifted) / np.repeat(total, sizes)
        value = np.mean(np.log(total) - shifted[positions]) + l2 * float(weights @ weights)
        slope = (p @ stacked - stacked[positions].sum(axis=0)) / len(parts) + 2 * l2 * weights
        return float(value), slope

    found = minimize(loss, np.array([1.0, 0.0, 0.0]), jac=True, method="L-BFGS-B", bounds=[(0.0, None)] * 3)
    return LinearWeights(*(float(weight) for weight in found.x))


def _columns(features: CandidateFeatures) -> FloatArray:
    """Standardised columns [n, 3]."""
    table = features.columns
    columns = (table[:, 0], table[:, 2], features.pairs[:, _COSINE])
    return np.column_stack([standardised(column.astype(np.float64)) for column in columns])
