"""How well slates are ordered: NDCG of each, with an interval over users."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from genrec.data.interactions import FloatArray
from genrec.data.ndcg import discounts


def ndcg(scores: FloatArray, target: FloatArray, k: int = 10) -> float:
    """NDCG@k of one slate [n] with the target as gain (Järvelin and Kekäläinen 2002): sum of gain / log2(rank + 1).

    Among equal scores the one with the smaller gain goes first, so that a model that says nothing gains nothing.
    """
    worth = discounts(min(k, len(scores)))
    order = np.lexsort((target, -scores))[:k]
    ideal = float(np.sort(target)[::-1][:k] @ worth)
    return float(target[order] @ worth) / ideal if ideal > 0 else 0.0


def interval(
    values: FloatArray, users: Sequence[str | None], samples: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """95 % percentile interval of the mean of values [n], from a bootstrap over users; None is a user of its own."""
    names = [f"user {user}" if user is not None else f"slate {row}" for row, user in enumerate(users)]
    _, group = np.unique(names, return_inverse=True)
    sums, counts = np.bincount(group, weights=values), np.bincount(group)
    drawn = np.random.default_rng(seed).integers(0, len(sums), (samples, len(sums)))
    low, high = np.quantile(sums[drawn].sum(1) / counts[drawn].sum(1), [0.025, 0.975])
    return float(low), float(high)
