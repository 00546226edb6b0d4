"""Co-visitation: what follows what in the log, weighted by distance and freed of popularity."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from scipy import sparse

from genrec.artifacts.tensors import read_tensors, write_tensors
from genrec.data.histories import HistoryArrays
from genrec.data.interactions import FloatArray, IntArray, Interactions
from genrec.domain import Item
from genrec.retrieval.base import Scores
from genrec.retrieval.matrices import histories, largest

CHUNK = 4_000_000


class CovisitRetriever:
    """score(b) = sum over the last events of the query, j = 0 the newest: decay^j * C[a_j, b], where

        T[a, b] = sum of 1/d over pairs in which b comes d <= window events after a
        C[a, b] = (T[a, b] + symmetric * T[b, a]) / (count(a)^source_power * count(b)^target_power)

    C keeps the `neighbours` largest entries of each row.
    """

    name: ClassVar[str] = "covisit"
    grid: ClassVar[Sequence[Mapping[str, Any]]] = (
        {"window": 20, "source_power": 0.4, "target_power": 0.2, "symmetric": 1.0, "decay": 0.8},
        {"window": 20, "source_power": 0.3, "target_power": 0.1, "symmetric": 1.0, "decay": 0.7},
        {"window": 50, "source_power": 0.6, "target_power": 0.4, "symmetric": 0.5, "decay": 0.8},
        {"window": 100, "source_power": 0.5, "target_power": 0.3, "symmetric": 0.25, "decay": 0.8},
        {"window": 50, "source_power": 0.5, "target_power": 0.2, "symmetric": 0.5, "decay": 0.9},
        {"window": 5, "source_power": 0.4, "target_power": 0.4, "symmetric": 1.0, "decay": 0.9},
    )

    def __init__(
        self, table: sparse.csr_matrix, decay: float, history: int, powers: tuple[float, float], symmetric: float
    ) -> None:
        self._table = table
        self._decay = decay
        self._history = history
        self._powers, self._symmetric = powers, symmetric

    @classmethod
    def fit(
        cls,
        interactions: Interactions,
        items: Sequence[Item],
        *,
        window: int = 20,
        source_power: float = 0.4,
        target_power: float = 0.2,
        symmetric: float = 1.0,
        decay: float = 0.8,
        history: int = 50,
        neighbours: int = 500,
    ) -> CovisitRetriever:
        """Counts transitions between what was not refused. Time and memory grow with events times `window`."""
        interactions = interactions.positive()
        table = _transitions(interactions, window)
        if symmetric:
            table = (table + symmetric * table.T).tocsr()
        counts = np.maximum(np.bincount(interactions.item, minlength=interactions.n_items), 1).astype(np.float64)
        rows = np.repeat(counts**-source_power, np.diff(table.indptr))
        table.data = (table.data * rows * (counts**-target_power)[table.indices]).astype(np.float32)
        return cls(largest(table, neighbours), decay, history, (source_power, target_power), symmetric)

    def scores(self, query: HistoryArrays) -> Scores:
        """Scores [I]; 0 for items that never came near the query's."""
        scores: Scores = self.batch_scores([query])[0]
        return scores

    def batch_scores(self, queries: Sequence[HistoryArrays]) -> Scores:
        """Scores [q, I] of several queries."""
        weights = histories(queries, self._table.shape[0], self._decay, self._history)
        return np.asarray((weights @ self._table).toarray(), dtype=np.float32)

    def together(self, source: IntArray, target: IntArray, count: FloatArray) -> FloatArray:
        """How often items stood near each other in histories [s, t]: the sum of 1/d over d <= window events, freed of
        the powers of `count` [I] that the scores have, and doubled where only one direction counts.

        0 for the same item, and for what is not among the strongest neighbours of the source.
        """
        often = self._table[source][:, target].toarray().astype(np.float64) * 2 / (1 + self._symmetric)
        often *= np.outer(np.maximum(count[source], 1) ** self._powers[0], count[target] ** self._powers[1])
        return np.where(source[:, None] == target, 0.0, often)

    def save(self, folder: Path) -> None:
        """Writes the table as CSR arrays."""
        write_tensors(
            folder,
            {"indptr": self._table.indptr, "indices": self._table.indices, "data": self._table.data},
            {
                "decay": self._decay,
                "history": self._history,
                "powers": self._powers,
                "symmetric": self._symmetric,
            },
        )

    @classmethod
    def load(cls, folder: Path) -> CovisitRetriever:
        """Reads what `save` wrote."""
        arrays, settings = read_tensors(folder)
        size = len(arrays["indptr"]) - 1
        table = sparse.csr_matrix((arrays["data"], arrays["indices"], arrays["indptr"]), shape=(size, size))
        powers = (float(settings["powers"][0]), float(settings["powers"][1]))
        return cls(table, float(settings["decay"]), int(settings["history"]), powers, float(settings["symmetric"]))


def _transitions(interactions: Interactions, window: int) -> sparse.csr_matrix:
    """T [I, I], summed in pieces so that memory stays bounded by the result and a constant."""
    size = interactions.n_items
    total = sparse.csr_matrix((size, size), dtype=np.float32)
    for sources, targets, weights in _pieces(interactions, window):
        total = total + sparse.coo_matrix((weights, (sources, targets)), shape=(size, size)).tocsr()
    return total


def _pieces(interactions: Interactions, window: int) -> Iterator[tuple[npt.NDArray[Any], ...]]:
    user, item = interactions.user, interactions.item
    pending: list[tuple[npt.NDArray[Any], ...]] = []
    size = 0
    longest = int(np.diff(interactions.indptr).max(initial=0))
    for distance in range(1, min(window, longest - 1) + 1):
        same = np.flatnonzero(user[distance:] == user[:-distance])
        for start in range(0, len(same), CHUNK):
            rows = same[start : start + CHUNK]
            weight = np.full(len(rows), 1 / distance, dtype=np.float32)
            pending.append((item[rows], item[rows + distance], weight))
            size += len(rows)
            if size >= CHUNK:
                yield tuple(map(np.concatenate, zip(*pending, strict=True)))
                pending, size = [], 0
    if pending:
        yield tuple(map(np.concatenate, zip(*pending, strict=True)))
