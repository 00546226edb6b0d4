"""The fitted click network in NumPy: what serving and evaluation compute. `model` trains the same network in torch.

No torch here: its threads wait for each other, and where a language model keeps all cores busy that turns one
millisecond into a hundred. Products are cut into pieces below the size at which OpenBLAS wakes its threads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt
from scipy.special import erf, softmax

from genrec.clicks.histories import Index
from genrec.clicks.pairs import Floats, Pairs, chunks
from genrec.data.interactions import FloatArray

_ONE_THREAD = 1 << 18
"""Multiplications of one product, at most."""
_PAIRS = 4096


class Network:
    """Weights by the names of `model.ClickNet`; see there for the formula."""

    def __init__(self, weights: Mapping[str, Floats]) -> None:
        self.weights = dict(weights)

    def logits(self, vectors: Floats, pairs: Pairs) -> FloatArray:
        """Logits [R] of pairs; `vectors` [I + 1, p] are those of the items."""
        parts = [self._forward(*pairs.batch(vectors, rows)) for rows in chunks(len(pairs), _PAIRS)]
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
