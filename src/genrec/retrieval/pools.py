"""The best items of each part for many users, small enough to try many weights on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from genrec.data.ndcg import discounts, gains
from genrec.data.splits import Split
from genrec.retrieval.base import Retriever, Scores
from genrec.retrieval.scoring import batches, queries_of, scaled, score_batch, top_k
from genrec.text.encoders import Progress

_DEPTH = 100
"""An item that no part has among its best hundred is not expected among the ten best of a blend."""


@dataclass(frozen=True, eq=False)
class TuningPools:
    """For each of m users the items that some part has among its best, in catalogue order, padded to P columns.

    `scores` [parts, m, P] are scaled as `HybridRetriever` scales them, -inf in the padding. `user` and `column` [t]
    point at the targets that are in a pool, `ideal` [m] is the ideal DCG@k of each user.
    """

    scores: Scores
    user: npt.NDArray[np.int64]
    column: npt.NDArray[np.int64]
    ideal: npt.NDArray[np.float64]
    k: int

    @classmethod
    def collect(
        cls, parts: Sequence[Retriever], split: Split, k: int = 10, progress: Progress | None = None
    ) -> TuningPools:
        """Scores all test users of the split with all parts."""
        pools: list[Scores] = []
        found: list[npt.NDArray[np.int64]] = []
        for rows in batches(split, range(len(split.users))):
            queries = queries_of(split, rows)
            batch = [scaled(score_batch(part, queries)) for part in parts]
            for number, (row, query) in enumerate(zip(rows, queries, strict=True)):
                of_user = [scores[number] for scores in batch]
                pool = np.unique(np.concatenate([top_k(scores, _DEPTH, query.item) for scores in of_user]))
                pools.append(np.stack([scores[pool] for scores in of_user]))
                found.append(np.flatnonzero(np.isin(pool, split.targets[row])))
            if progress:
                progress("pooling candidates", len(pools), len(split.users))
        scores = np.full((len(parts), len(pools), max(pool.shape[1] for pool in pools)), -np.inf, dtype=np.float32)
        for row, pool in enumerate(pools):
            scores[:, row, : pool.shape[1]] = pool
        best = np.cumsum(discounts(k))
        ideal = np.array([best[min(len(targets), k) - 1] for targets in split.targets])
        user = np.repeat(np.arange(len(found)), [len(columns) for columns in found])
        return cls(scores, user, np.concatenate(found), ideal, k)

    def ndcg(self, weights: npt.NDArray[np.float64]) -> float:
        """Mean NDCG@k of the weighted sum; at least one weight must be positive."""
        chosen = np.flatnonzero(weights)
        mixed = sum(np.float32(weights[part]) * self.scores[part] for part in chosen)
        target = mixed[self.user, self.column][:, None]
        rows = mixed[self.user]
        before = np.arange(rows.shape[1]) < self.column[:, None]
        rank = np.count_nonzero((rows > target) | ((rows == target) & before), axis=1)
        return float(
            np.bincount(self.user, gains(rank, self.k), minlength=len(self.ideal)) @ (1 / self.ideal) / len(self.ideal)
        )
