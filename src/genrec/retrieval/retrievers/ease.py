"""EASE: a linear item-item model in closed form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from scipy.linalg import lapack

from genrec.artifacts.tensors import read_tensors, write_tensors
from genrec.data.histories import HistoryArrays
from genrec.data.interactions import Interactions
from genrec.domain import Item
from genrec.errors import DataError
from genrec.retrieval.base import Scores
from genrec.retrieval.matrices import histories, together, touched

Weights = npt.NDArray[np.float32]

MAX_ITEMS = 20_000
"""Items that the model can hold: its matrix of 4 bytes * items^2 is then 1.6 GB, and inverting it takes minutes."""


class EaseRetriever:
    """score(b) = sum over the events of the query, j = 0 the newest: decay^j * B[a_j, b], where

        P = (X'X + regularization * 1)^-1,  B[a, b] = -P[a, b] / P[b, b],  B[a, a] = 0

    with the binary user-item matrix X (Steck 2019, 'Embarrassingly Shallow Autoencoders for Sparse Data'). The paper's
    model has decay 1. Items that nobody touched are left out.
    """

    name: ClassVar[str] = "ease"
    grid: ClassVar[Sequence[Mapping[str, Any]]] = (
        {"regularization": 300.0, "decay": 0.9},
        {"regularization": 300.0, "decay": 0.8},
        {"regularization": 300.0, "decay": 1.0},
        {"regularization": 1000.0, "decay": 0.8},
        {"regularization": 1000.0, "decay": 0.95},
        {"regularization": 100.0, "decay": 0.8},
    )

    def __init__(self, weights: Weights, known: npt.NDArray[np.int32], n_items: int, decay: float) -> None:
        self._weights = weights
        self._known = known
        self._n_items = n_items
        self._decay = decay

    @classmethod
    def fit(
        cls,
        interactions: Interactions,
        items: Sequence[Item],
        *,
        regularization: float = 300.0,
        decay: float = 0.9,
    ) -> EaseRetriever:
        """Inverts one matrix of the touched items, in place. DataError if they are more than `MAX_ITEMS`."""
        matrix = touched(interactions)
        known = np.unique(matrix.indices)
        if len(known) > MAX_ITEMS:
            raise DataError(
                f"EASE holds a dense matrix of all items: {len(known):,} are more than {MAX_ITEMS:,}",
                "take ease out of the retrievers, or keep fewer items",
            )
        matrix = matrix[:, known]
        gram = np.zeros((len(known), len(known)), dtype=np.float32)
        for rows, counts in together(matrix):
            gram[rows] = counts.toarray()
        return cls(item_weights(gram, regularization), known.astype(np.int32), interactions.n_items, decay)

    def with_query(self, decay: float) -> EaseRetriever:
        """The same fit with another decay."""
        return EaseRetriever(self._weights, self._known, self._n_items, decay)

    def scores(self, query: HistoryArrays) -> Scores:
        """Scores [I]; 0 for items that nobody touched."""
        scores: Scores = self.batch_scores([query])[0]
        return scores

    def batch_scores(self, queries: Sequence[HistoryArrays]) -> Scores:
        """Scores [q, I] of several queries."""
        weights = histories(queries, self._n_items, self._decay)
        scores = np.zeros(weights.shape, dtype=np.float32)
        scores[:, self._known] = weights[:, self._known] @ self._weights
        return scores

    def save(self, folder: Path) -> None:
        """Writes the weights: 4 bytes for each pair of touched items."""
        arrays = {"weights": self._weights, "known": self._known}
        write_tensors(folder, arrays, {"n_items": self._n_items, "decay": self._decay})

    @classmethod
    def load(cls, folder: Path) -> EaseRetriever:
        """Reads what `save` wrote."""
        arrays, settings = read_tensors(folder)
        return cls(arrays["weights"], arrays["known"], int(settings["n_items"]), float(settings["decay"]))


def item_weights(gram: Weights, regularization: float) -> Weights:
    """B [I, I] from X'X [I, I], which is overwritten. `regularization` must be positive."""
    if not len(gram):
        return gram
    gram[np.diag_indices_from(gram)] += regularization
    # LAPACK wants columns one after the other: the transposed view of a symmetric matrix. It works in place.
    factor, failed = lapack.spotrf(gram.T, lower=1, clean=0, overwrite_a=1)
    if failed:
        raise DataError("the matrix of EASE cannot be inverted in single precision", "take ease out of the retrievers")
    inverse, _ = lapack.spotri(factor, lower=1, overwrite_c=1)
    weights: Weights = inverse.T
    for row in range(1, len(weights)):  # only the upper triangle has been computed
        weights[row, :row] = weights[:row, row]
    weights /= -weights.diagonal()
    weights[np.diag_indices_from(weights)] = 0
    return weights
