"""From scores to lists: queries out of histories and logs, the stable top k, and NDCG over the whole catalogue."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from genrec.data.histories import HistoryArrays
from genrec.data.interactions import IntArray
from genrec.data.ndcg import discounts, gains
from genrec.data.splits import Split
from genrec.retrieval.base import Scores

Positions = npt.NDArray[np.int64]
Ndcg = npt.NDArray[np.float64]

BATCH_CELLS = 4_000_000


class Scorer(Protocol):
    """Whatever scores the whole catalogue: a retriever, or a blend of them."""

    def scores(self, query: HistoryArrays) -> Scores:
        """Scores of all items [I]."""


def queries_of(split: Split, rows: Sequence[int] | None = None) -> list[HistoryArrays]:
    """Queries of the test users of a split: what they did in `train`, asked at the time of the request."""
    train = split.train
    chosen = range(len(split.users)) if rows is None else rows
    spans = [(train.rows_of(int(split.users[row])), float(split.now[row])) for row in chosen]
    return [HistoryArrays.of_rows(train, span, now) for span, now in spans]


def score_batch(scorer: Scorer, queries: Sequence[HistoryArrays]) -> Scores:
    """Scores [q, I] of several queries; uses `scorer.batch_scores(queries)` where a scorer has it."""
    batch: Callable[[Sequence[HistoryArrays]], Scores] | None = getattr(scorer, "batch_scores", None)
    return batch(queries) if batch else np.stack([scorer.scores(query) for query in queries])


def top_k(scores: Scores, k: int, excluded: npt.ArrayLike = ()) -> Positions:
    """Positions of the k best items, best first; of equal scores the smaller position first.

    `excluded` (positions) never appear. Fewer than k if the catalogue has no more.
    """
    costs = -scores.astype(np.float32)  # numpy partitions slowly where many values tie below the place asked for
    costs[np.asarray(excluded, dtype=np.int64)] = np.inf
    if 0 < k < len(costs):
        kth = np.partition(costs, k - 1)[k - 1]
        better = np.flatnonzero(costs < kth)
        chosen = np.concatenate([better, np.flatnonzero(costs == kth)[: k - len(better)]])
    else:
        chosen = np.arange(len(costs) if k > 0 else 0)
    chosen = chosen[costs[chosen] < np.inf]
    ordered: Positions = chosen[np.lexsort((chosen, costs[chosen]))]
    return ordered


def scaled(scores: Scores) -> Scores:
    """Each row [q, I] shifted and stretched to 0..1; rows that are equal everywhere become 0."""
    low = scores.min(axis=1, keepdims=True, initial=np.inf)
    span = scores.max(axis=1, keepdims=True, initial=-np.inf) - low
    unit: Scores = np.divide(scores - low, span, out=np.zeros(scores.shape, dtype=np.float32), where=span > 0)
    return unit


def batches(split: Split, rows: Sequence[int]) -> Iterator[Sequence[int]]:
    """Rows of a split in pieces whose score matrices stay small (16 MB)."""
    size = max(1, BATCH_CELLS // max(1, split.train.n_items))
    return (rows[start : start + size] for start in range(0, len(rows), size))


def ndcg_at(scorer: Scorer, split: Split, k: int = 10, rows: Sequence[int] | None = None) -> Ndcg:
    """NDCG@k of each test user (or of those in `rows`), over the whole catalogue without what the user has seen.

    Binary gains, discount 1 / log2(rank + 1), ideal over min(targets, k).
    """
    chosen = list(range(len(split.users))) if rows is None else list(rows)
    values = [
        ndcg_of(scores, seen.item, split.targets[row], k)
        for part in batches(split, chosen)
        for row, seen, scores in _scored(scorer, split, part)
    ]
    return np.array(values, dtype=np.float64)


def ndcg_of(scores: Scores, seen: IntArray, targets: IntArray, k: int = 10) -> float:
    """NDCG@k of one list: `scores` [I], items seen and items to be found as positions."""
    ranks = ranks_of(scores, seen, targets)
    return float(gains(ranks[ranks < k], k).sum() / discounts(min(len(targets), k)).sum())


def ranks_of(scores: Scores, seen: IntArray, targets: IntArray) -> Positions:
    """Ranks of the targets, from 0, in the order that `top_k` gives with `seen` excluded."""
    left = scores.copy()
    left[seen] = -np.inf
    ranks = [
        np.count_nonzero(left > left[target]) + np.count_nonzero(left[:target] == left[target]) for target in targets
    ]
    return np.array(ranks, dtype=np.int64)


def _scored(scorer: Scorer, split: Split, rows: Sequence[int]) -> Iterator[tuple[int, HistoryArrays, Scores]]:
    queries = queries_of(split, rows)
    yield from zip(rows, queries, score_batch(scorer, queries), strict=True)
