"""What many people touched lately: the same for every user."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from genrec.artifacts.tensors import read_tensors, write_tensors
from genrec.data.histories import HistoryArrays
from genrec.data.interactions import EARLIEST_CLOCK, FloatArray, Interactions
from genrec.domain import Item
from genrec.retrieval.base import Scores

_DAY = 86_400.0


class PopularRetriever:
    """score(i) = sum over the events on i in the window before the newest event of 2^(-age / (half_life * window)),
    plus the share of i in the whole log, which orders what the window does not have.

    The window is `popular_days` long; the last entry of the grid takes in everything. In a log whose timestamps are
    positions it is the newest `share` of all events.
    """

    name: ClassVar[str] = "popular"
    grid: ClassVar[Sequence[Mapping[str, Any]]] = (
        {"half_life": 0.5, "share": 1.0},
        {"half_life": 4.0, "share": 1.0},
        {"half_life": 0.5, "share": 0.2},
        {"half_life": 0.1, "share": 1.0},
        {"half_life": 0.5, "share": 1.0, "popular_days": 180.0},
        {"half_life": 4.0, "share": 1.0, "popular_days": 36_500.0},
    )

    def __init__(self, popularity: Scores) -> None:
        self._popularity = popularity

    @classmethod
    def fit(
        cls,
        interactions: Interactions,
        items: Sequence[Item],
        *,
        popular_days: float = 30.0,
        half_life: float = 0.5,
        share: float = 1.0,
    ) -> PopularRetriever:
        """Counts events, not those that say no. `half_life` is in windows."""
        interactions = interactions.positive()
        size = interactions.n_items
        everything = np.bincount(interactions.item, minlength=size)
        if not len(interactions):
            return cls(everything.astype(np.float32))
        start, length = _window(interactions.timestamp, popular_days * _DAY, share)
        recent = interactions.timestamp >= start
        age = interactions.timestamp.max() - interactions.timestamp[recent]
        weights = np.exp2(-age / (half_life * length))
        counts = np.bincount(interactions.item[recent], weights=weights, minlength=size)
        return cls((counts + everything / len(interactions)).astype(np.float32))

    def scores(self, query: HistoryArrays) -> Scores:
        """Popularity [I], whatever the query."""
        return self._popularity

    def batch_scores(self, queries: Sequence[HistoryArrays]) -> Scores:
        """Popularity [q, I]."""
        return np.broadcast_to(self._popularity, (len(queries), len(self._popularity)))

    def save(self, folder: Path) -> None:
        """Writes the popularity."""
        write_tensors(folder, {"popularity": self._popularity}, {})

    @classmethod
    def load(cls, folder: Path) -> PopularRetriever:
        """Reads what `save` wrote."""
        arrays, _ = read_tensors(folder)
        return cls(arrays["popularity"])


def _window(timestamps: FloatArray, seconds: float, share: float) -> tuple[float, float]:
    """Where the window starts, and its length (at least 1), in the log's unit."""
    newest = float(timestamps.max())
    positions = float(timestamps.min()) < EARLIEST_CLOCK
    start = float(np.quantile(timestamps, 1 - share)) if positions else newest - seconds
    return start, max(newest - start, 1.0)
