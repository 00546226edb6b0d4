"""Repeat history: what this user touches often and has touched lately."""

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
from genrec.retrieval.matrices import histories


class RepeatRetriever:
    """score(i) = sum over the user's own events on i, j = 0 the newest of all: decay^j.

    A decay of 1 counts, a small one orders by the last touch. It knows nothing but what the user has seen: where seen
    items are removed, as in the full ranking of `genrec eval`, every score is 0, and it matters only where items come
    back (`keep_seen`).
    """

    name: ClassVar[str] = "repeat"
    grid: ClassVar[Sequence[Mapping[str, Any]]] = (
        {"decay": 0.95},
        {"decay": 0.5},
        {"decay": 0.8},
        {"decay": 0.9},
        {"decay": 0.99},
        {"decay": 1.0},
    )

    def __init__(self, n_items: int, decay: float) -> None:
        self._n_items = n_items
        self._decay = decay

    @classmethod
    def fit(cls, interactions: Interactions, items: Sequence[Item], *, decay: float = 0.95) -> RepeatRetriever:
        """Learns nothing: everything is in the query."""
        return cls(interactions.n_items, decay)

    def scores(self, query: HistoryArrays) -> Scores:
        """Scores [I]; 0 for items that are not in the query."""
        scores: Scores = self.batch_scores([query])[0]
        return scores

    def batch_scores(self, queries: Sequence[HistoryArrays]) -> Scores:
        """Scores [q, I] of several queries."""
        return np.asarray(histories(queries, self._n_items, self._decay).toarray(), dtype=np.float32)

    def save(self, folder: Path) -> None:
        """Writes the settings."""
        write_tensors(folder, {}, {"n_items": self._n_items, "decay": self._decay})

    @classmethod
    def load(cls, folder: Path) -> RepeatRetriever:
        """Reads what `save` wrote."""
        _, settings = read_tensors(folder)
        return cls(int(settings["n_items"]), float(settings["decay"]))
