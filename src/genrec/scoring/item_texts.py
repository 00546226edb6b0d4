"""Items without any log: principal components of their text vectors, and their most frequent metadata values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from genrec.domain import Item
from genrec.text.encoders import Vectors

_WIDTH = 64
"""How many principal components of the encoder's vectors are kept."""
_VALUES = 64
"""How many of the most frequent metadata values are looked at."""


@dataclass(frozen=True, eq=False)
class ItemTexts:
    """What is known of the items without any event: text vectors [I + 1, p], metadata values [I + 1, v].

    The last row, all zeros, is an unknown item: as the vectors are centred, it is the mean one.
    """

    vectors: Vectors
    values: Vectors

    @classmethod
    def of(cls, items: Sequence[Item], vectors: Vectors) -> ItemTexts:
        """From encoder vectors [I, d] of the items."""
        return cls(_principal(vectors), _metadata_values(items))


def _principal(vectors: Vectors) -> Vectors:
    """The first components [I + 1, p] of centred vectors [I, d], p <= 64, scaled to mean square length 1."""
    centred = vectors.astype(np.float64) - vectors.mean(axis=0)
    _, basis = np.linalg.eigh(centred.T @ centred)
    components = centred @ basis[:, ::-1][:, :_WIDTH]
    length = np.sqrt(np.mean(np.sum(components**2, axis=1))) or 1.0
    padded: Vectors = np.concatenate([components / length, np.zeros((1, components.shape[1]))]).astype(np.float32)
    return padded


def _metadata_values(items: Sequence[Item], size: int = _VALUES) -> Vectors:
    """Incidence [I + 1, v] of the `size` most frequent values of text-list metadata (genres, tags)."""
    counts: dict[tuple[str, str], int] = {}
    pairs = [
        {(key, value) for key, values in item.metadata.items() if isinstance(values, tuple) for value in values}
        for item in items
    ]
    for pair in pairs:
        for value in pair:
            counts[value] = counts.get(value, 0) + 1
    chosen = sorted(counts, key=lambda value: (-counts[value], value))[:size]
    column = {value: index for index, value in enumerate(chosen)}
    table = np.zeros((len(items) + 1, max(len(chosen), 1)), dtype=np.float32)
    for row, pair in enumerate(pairs):
        for value in pair:
            if value in column:
                table[row, column[value]] = 1.0
    return table
