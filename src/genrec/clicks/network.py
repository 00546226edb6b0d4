"""The fitted click network in NumPy: what serving and evaluation compute. `model` trains the same network in torch.

No torch here: its threads wait for each other, and where a language model keeps all cores busy that turns one
millisecond into a hundred. Products are cut into pieces below the size at which OpenBLAS wakes its threads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import erf, softmax

from genrec.clicks.histories import Histories, Index
from genrec.data.interactions import FloatArray, IntArray

Floats = npt.NDArray[np.float32]

_ONE_THREAD = 1 << 18
"""Multiplications of one product, at most."""
_PAIRS = 4096


@dataclass(frozen=True, eq=False)
class Pairs:
    """R (history, item) pairs: `query` [R] is the row of `histories`, `features` [R, F], `signal` [Q, H, 2].

    The signal of an event is its residual (how much more than the item's mean it was valued) and its label.
    """

    histories: Histories
    signal: Floats
    query: Index
    item: IntArray
    features: Floats

    def __len__(self) -> int:
        return len(self.query)

    def batch(self, vectors: Floats, rows: Index) -> tuple[npt.NDArray[Any], ...]:
        """What the network reads of some pairs: history vectors, signals, mask, query rows, item vectors, features."""
        queries, query = np.unique(self.query[rows], return_inverse=True)
        item = self.histories.item[queries]
        mask = self.histories.mask[queries]
        return vectors[item], self.signal[queries], mask, query, vectors[self.item[rows]], self.features[rows]

    @classmethod
    def joined(cls, parts: list[Pairs]) -> Pairs:
        """All pairs of all parts, in order."""
        starts = np.cumsum([0, *(len(part.histories) for part in parts)])
        return cls(
            Histories.joined([part.histories for part in parts]),
            np.concatenate([part.signal for part in parts]),
            np.concatenate([part.query + start for part, start in zip(parts, starts[:-1], strict=True)]),
            np.concatenate([part.item for part in parts]),
            np.concatenate([part.features for part in parts]),
        )


class Network:
    """Weights by the names of `model.ClickNet`; see there for the formula."""

    def __init__(self, weights: Mapping[str, Floats]) -> None:
        self.weights = dict(weights)

    def logits(self, vectors: Floats, pairs: Pairs) -> FloatArray:
        """Logits [R] of pairs; `vectors` [I + 1, p] are those of the items."""
        parts = [self._forward(*pairs.batch(vectors, rows)) for rows in _pieces(len(pairs), _PAIRS)]
        return np.concatenate(parts).astype(np.float64) if parts else np.zeros(0)

    def _forward(
        self,
        history: Floats,
        signal: Floats,
        mask: npt.NDArray[np.bool_],
        query: Index,
        item: Floats,
        features: Floats,
    ) -> Floats:
        w = self.weights
        events = np.concatenate([history, signal], axis=-1)
        key, value = self._linear("key", events), self._linear("value", events)
        asked = self._linear("query", item) / np.sqrt(np.float32(key.shape[-1]))
        ages = np.log(np.arange(mask.shape[1], 0, -1, dtype=np.float32))
        bias = np.where(mask, w["age"] * ages, -np.inf).astype(np.float32)
        single = len(history) == 1
        scores = np.einsum("rw,hw->rh", asked, key[0]) if single else np.einsum("rw,rhw->rh", asked, key[query])
        empty = np.einsum("rw,w->r", asked, w["empty_key"])[:, None]
        attention = softmax(np.concatenate([scores + bias[query], empty], axis=1), axis=1)
        seen = attention[:, :-1]
        pooled = np.einsum("rh,hw->rw", seen, value[0]) if single else np.einsum("rh,rhw->rw", seen, value[query])
        interest = pooled + attention[:, -1:] * w["empty_value"]
        projected = self._linear("item", item)
        z = np.clip((features - w["mean"]) / w["scale"], -5, 5)
        joint = np.concatenate([interest, projected, interest * projected, z], axis=1)
        hidden = _gelu(self._linear("mlp.3", _gelu(self._linear("mlp.0", joint))))
        logits: Floats = (self._linear("mlp.6", hidden) + self._linear("linear", z))[:, 0]
        return logits

    def _linear(self, name: str, x: Floats) -> Floats:
        """The product x W' + b over the last axis."""
        weight = self.weights[f"{name}.weight"]
        rows = x.reshape(-1, x.shape[-1])
        size = max(1, _ONE_THREAD // weight.size)
        out = np.concatenate([rows[piece] @ weight.T for piece in _slices(len(rows), size)])
        bias = self.weights.get(f"{name}.bias")
        product: Floats = (out if bias is None else out + bias).reshape(*x.shape[:-1], len(weight))
        return product


def _gelu(x: Floats) -> Floats:
    result: Floats = 0.5 * x * (1 + erf(x * np.float32(np.sqrt(0.5))))
    return result


def _slices(n: int, size: int) -> Iterator[slice]:
    return (slice(start, start + size) for start in range(0, max(n, 1), size))


def _pieces(n: int, size: int) -> Iterator[Index]:
    return (np.arange(start, min(start + size, n)) for start in range(0, n, size))
