"""The second stage of a small log: a weighted sum of three standardised parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.stats import rankdata

from genrec.clicks.calibration import to_logit
from genrec.data.interactions import FloatArray
from genrec.fusion.pools import Pool, standardised


@dataclass(frozen=True)
class Weights:
    """Weights of retriever score, minus the logarithm of its rank, and logit P(click), each standardised in its pool.

    None is negative: a part that misleads is left out, never turned around.
    """

    retriever: float = 1.0
    retriever_rank: float = 0.0
    p_click: float = 0.0

    def scores(self, pool: Pool) -> FloatArray:
        """Weighted sums [n]; comparable within the pool only."""
        scores: FloatArray = _parts(pool) @ np.array([self.retriever, self.retriever_rank, self.p_click])
        return scores


def fit_weights(pools: Sequence[Pool], targets: Sequence[int], l2: float = 0.01) -> Weights:
    """Minimises the mean of -log softmax(score)[target] + l2 * |w|^2 with w >= 0 (convex; L-BFGS-B).

    This is ListNet's top-one loss (Cao et al., 2007). Pools of one item say nothing; without any other the retriever
    decides.
    """
    chosen = [(pool, target) for pool, target in zip(pools, targets, strict=True) if len(pool) > 1]
    if not chosen:
        return Weights()
    parts = [_parts(pool) for pool, _ in chosen]
    sizes = np.array([len(part) for part in parts])
    starts = np.cumsum(sizes) - sizes
    positions = starts + [target for _, target in chosen]
    stacked = np.concatenate(parts)

    def loss(weights: FloatArray) -> tuple[float, FloatArray]:
        scores = stacked @ weights
        shifted = scores - np.repeat(np.maximum.reduceat(scores, starts), sizes)
        total = np.add.reduceat(np.exp(shifted), starts)
        p = np.exp(shifted) / np.repeat(total, sizes)
        value = np.mean(np.log(total) - shifted[positions]) + l2 * float(weights @ weights)
        slope = (p @ stacked - stacked[positions].sum(axis=0)) / len(parts) + 2 * l2 * weights
        return float(value), slope

    found = minimize(loss, np.array([1.0, 0.0, 0.0]), jac=True, method="L-BFGS-B", bounds=[(0.0, None)] * 3)
    return Weights(*(float(weight) for weight in found.x))


def _parts(pool: Pool) -> FloatArray:
    """Standardised parts [n, 3]."""
    absent = np.zeros(len(pool))
    return np.column_stack(
        [
            standardised(pool.retriever),
            standardised(-np.log(rankdata(-pool.retriever))) if len(pool) else absent,
            absent if pool.p_click is None else standardised(to_logit(pool.p_click)),
        ]
    )
