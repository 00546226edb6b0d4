"""Item k-nearest neighbours: what the same users touched, the newest events of the query first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from scipy import sparse

from genrec.artifacts.tensors import read_tensors, write_tensors
from genrec.data.histories import HistoryArrays
from genrec.data.interactions import Interactions
from genrec.domain import Item
from genrec.retrieval.base import Scores
from genrec.retrieval.matrices import histories, largest, together, touched


class ItemKnnRetriever:
    """score(b) = sum over the events of the query, j = 0 the newest: decay^j * S[a_j, b], where

        S[a, b] = users(a and b) / (sqrt(users(a) * users(b)) + shrink)

    is the cosine between the columns of the binary user-item matrix, shrunk where few users support it (Deshpande and
    Karypis 2004; the shrinkage as in Bell and Koren 2007). S keeps the `neighbours` largest entries of each row and
    nothing on its diagonal.
    """

    name: ClassVar[str] = "item_knn"
    grid: ClassVar[Sequence[Mapping[str, Any]]] = (
        {"neighbours": 50, "shrink": 10.0, "decay": 0.8},
        {"neighbours": 50, "shrink": 10.0, "decay": 0.95},
        {"neighbours": 50, "shrink": 10.0, "decay": 1.0},
        {"neighbours": 50, "shrink": 100.0, "decay": 0.7},
        {"neighbours": 200, "shrink": 0.0, "decay": 0.7},
        {"neighbours": 200, "shrink": 10.0, "decay": 0.98},
    )

    def __init__(self, table: sparse.csr_matrix, decay: float) -> None:
        self._table = table
        self._decay = decay

    @classmethod
    def fit(
        cls,
        interactions: Interactions,
        items: Sequence[Item],
        *,
        neighbours: int = 50,
        shrink: float = 10.0,
        decay: float = 0.8,
    ) -> ItemKnnRetriever:
        """Counts users of pairs of items. Time grows with the sum of squared lengths of the histories."""
        matrix = touched(interactions)
        users = np.bincount(matrix.indices, minlength=interactions.n_items).astype(np.float64)
        pieces = [sparse.csr_matrix((0, interactions.n_items), dtype=np.float32)]
        for rows, counts in together(matrix):
            source = np.repeat(np.arange(rows.start, rows.stop), np.diff(counts.indptr))
            similar = counts.data / (np.sqrt(users[source] * users[counts.indices]) + shrink)
            counts.data = np.where(source == counts.indices, 0, similar).astype(np.float32)
            counts.eliminate_zeros()
            pieces.append(largest(counts, neighbours))
        return cls(sparse.vstack(pieces, format="csr"), decay)

    def scores(self, query: HistoryArrays) -> Scores:
        """Scores [I]; 0 for items that no user of the query's items touched."""
        scores: Scores = self.batch_scores([query])[0]
        return scores

    def batch_scores(self, queries: Sequence[HistoryArrays]) -> Scores:
        """Scores [q, I] of several queries."""
        weights = histories(queries, self._table.shape[1], self._decay)
        return np.asarray((weights @ self._table).toarray(), dtype=np.float32)

    def save(self, folder: Path) -> None:
        """Writes the table as CSR arrays."""
        arrays = {"indptr": self._table.indptr, "indices": self._table.indices, "data": self._table.data}
        write_tensors(folder, arrays, {"decay": self._decay})

    @classmethod
    def load(cls, folder: Path) -> ItemKnnRetriever:
        """Reads what `save` wrote."""
        arrays, settings = read_tensors(folder)
        size = len(arrays["indptr"]) - 1
        table = sparse.csr_matrix((arrays["data"], arrays["indices"], arrays["indptr"]), shape=(size, size))
        return cls(table, float(settings["decay"]))
