"""What an encoder of texts is, and what encoders share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol, Self

import numpy as np
import numpy.typing as npt

from genrec.artifacts.alternatives import Alternatives
from genrec.domain import Item
from genrec.errors import ModelError
from genrec.settings import EncoderSettings

Vectors = npt.NDArray[np.float32]
Progress = Callable[[str, int, int], None]
"""Called as `progress(what, done, total)` while something long runs."""


class Encoder(Protocol):
    """Turns texts into vectors of unit length (a text without any content may be all zeros)."""

    @property
    def name(self) -> str:
        """Names model and weights: equal names give equal vectors."""

    @property
    def dimension(self) -> int:
        """Width d of the vectors."""

    def encode(self, texts: Sequence[str], progress: Progress | None = None) -> Vectors:
        """Vectors [n, d] of n texts, in their order."""


class EncoderClass(Encoder, Protocol):
    """What a class must have to be named in the settings: one alternative is one module of `genrec.text.encoders`."""

    @classmethod
    def load(cls, settings: EncoderSettings) -> Self:
        """The encoder of the settings. ModelError if it does not load."""


ENCODERS: Alternatives[EncoderClass] = Alternatives("encoder", "genrec.text.encoders", EncoderClass, error=ModelError)


def item_text(item: Item) -> str:
    """The item in words: title, then its metadata by name, for example `Heat. genres: Crime, Drama. year: 1995`."""
    parts = [item.title.strip()]
    for key in sorted(item.metadata):
        value = item.metadata[key]
        words = ", ".join(value) if isinstance(value, tuple) else f"{value:g}" if isinstance(value, float) else value
        if words:
            parts.append(f"{key.replace('_', ' ')}: {words}")
    return ". ".join(part for part in parts if part)


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread for torch: batches this small are slower on more, by far so where others use the cores; and sums stay
    in order.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def unit_length(vectors: Vectors) -> Vectors:
    """Rows [n, d] divided by their length; rows of zeros stay zeros."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: Vectors = np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0)
    return unit
