"""Semantic retrieval: items whose text is near to what the user looked at, touched by anyone or not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from genrec.artifacts.tensors import read_tensors, write_tensors
from genrec.data.histories import HistoryArrays
from genrec.data.interactions import Interactions
from genrec.domain import Item
from genrec.retrieval.base import Scores
from genrec.retrieval.factors import product
from genrec.text.encoders import Encoder, Progress, Vectors, item_text, unit_length


class SemanticRetriever:
    """Cosine between each item's vector and the mean of the query's newest items, weighted decay^j (j = 0 the newest).

    Vectors are encoded from title and metadata and centred on the catalogue's mean, which takes out what all of its
    texts have in common. More than `width` dimensions are reduced to their principal components.
    """

    name: ClassVar[str] = "semantic"
    grid: ClassVar[Sequence[Mapping[str, Any]]] = ({"decay": 0.8}, {"decay": 0.6}, {"decay": 0.9})

    def __init__(self, vectors: Vectors, decay: float, history: int) -> None:
        self._vectors = vectors
        self._decay = decay
        self._history = history

    @classmethod
    def fit(
        cls,
        interactions: Interactions,
        items: Sequence[Item],
        *,
        encoder: Encoder,
        decay: float = 0.8,
        history: int = 50,
        width: int = 128,
        progress: Progress | None = None,
    ) -> SemanticRetriever:
        """Encodes the catalogue; the log is not looked at. Pass a `CachedEncoder` to encode each text once."""
        vectors = encoder.encode([item_text(item) for item in items], progress)
        if len(vectors):
            vectors = _reduced(vectors - vectors.mean(axis=0), width)
        return cls(unit_length(vectors), decay, history)

    def scores(self, query: HistoryArrays) -> Scores:
        """Cosines [I]; 0 everywhere without a history."""
        scores: Scores = self.batch_scores([query])[0]
        return scores

    def batch_scores(self, queries: Sequence[HistoryArrays]) -> Scores:
        """Cosines [q, I] of several queries."""
        users = np.zeros((len(queries), self._vectors.shape[1]), dtype=np.float32)
        for row, query in enumerate(queries):
            newest, pull = query.item[::-1][: self._history], query.pull[::-1][: self._history]
            users[row] = (np.power(self._decay, np.arange(len(newest))) * pull).astype(np.float32) @ self._vectors[
                newest
            ]
        users = unit_length(users)
        if len(users) == 1:
            return product(self._vectors, users[0])[None, :]
        return users @ self._vectors.T

    def save(self, folder: Path) -> None:
        """Writes the vectors."""
        write_tensors(folder, {"vectors": self._vectors}, {"decay": self._decay, "history": self._history})

    @classmethod
    def load(cls, folder: Path) -> SemanticRetriever:
        """Reads what `save` wrote."""
        arrays, settings = read_tensors(folder)
        return cls(arrays["vectors"], float(settings["decay"]), int(settings["history"]))


def _reduced(centred: Vectors, width: int) -> Vectors:
    """Centred rows in the space of their `width` largest principal components."""
    if centred.shape[1] <= width:
        return centred
    _, axes = np.linalg.eigh(centred.T @ centred)
    reduced: Vectors = centred @ np.ascontiguousarray(axes[:, ::-1][:, :width])
    return reduced
