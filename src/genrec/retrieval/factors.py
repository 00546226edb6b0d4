"""What retrievers with vectors of items share: their product with one user, and the library that learns factors."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from genrec.retrieval.base import Scores

Factors = npt.NDArray[np.float32]


@contextmanager
def implicit_module(name: str) -> Iterator[Any]:
    """The module `implicit.cpu.<name>`, to be fitted with inside the context.

    The library runs threads of its own, so the matrix library gets one thread meanwhile; its warnings about that are
    not passed on.
    """
    from threadpoolctl import threadpool_limits

    with warnings.catch_warnings(), threadpool_limits(1, "blas"):
        warnings.simplefilter("ignore")
        yield importlib.import_module(f"implicit.cpu.{name}")


def product(vectors: Factors, user: Factors) -> Scores:
    """`vectors` [I, d] times `user` [d].

    On one thread: those of the matrix library cost tens of milliseconds here when a language model has all cores busy.
    """
    scores: Scores = np.einsum("id,d->i", vectors, user)
    return scores
