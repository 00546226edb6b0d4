"""Words to vectors by hashing: needs no model."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Self

import numpy as np

from genrec.settings import EncoderSettings
from genrec.text.base import Progress, Vectors, unit_length


class HashingEncoder:
    """Signed feature hashing of words and word pairs (Weinberger et al. 2009). Needs no model; equal words only.

    A word weighs 1 however often it stands in the text. `seed` chooses the hash function.
    """

    KIND = "hashing"

    def __init__(self, dimension: int = 512, seed: int = 0) -> None:
        self._dimension = dimension
        self._seed = seed

    @classmethod
    def load(cls, settings: EncoderSettings) -> Self:
        """Has nothing to load."""
        return cls()

    @property
    def name(self) -> str:
        return f"{self.KIND}-{self._dimension}-{self._seed}"

    @property
    def dimension(self) -> int:
        return self._dimension

    def encode(self, texts: Sequence[str], progress: Progress | None = None) -> Vectors:
        vectors = np.zeros((len(texts), self._dimension), dtype=np.float32)
        for row, text in enumerate(texts):
            words = re.findall(r"\w+", text.lower())
            for feature in sorted({*words, *map(" ".join, pairwise(words))}):
                digest = hashlib.blake2b(
                    feature.encode(), digest_size=8, salt=self._seed.to_bytes(8, "little")
                ).digest()
                column = int.from_bytes(digest[:7], "little") % self._dimension
                vectors[row, column] += 1.0 if digest[7] & 1 else -1.0
        return unit_length(vectors)
