"""The fitted second stage in NumPy: what serving and evaluation compute. `training` fits the same network in torch."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from genrec.data.interactions import FloatArray

Floats = npt.NDArray[np.float32]
CLIP = 6.0
"""Standardised features beyond are cut off: what was never seen in training must not decide."""


class MonotoneNetwork:
    """A score that never falls when a monotone feature rises.

        z = clip((x - mean) / scale)         h1 = act(A z + a)        h2 = act(|B| h1 + b)
        score = |c| h2 + s z                 A, s: absolute values in the columns of monotone features

    act is ELU in the first half of the units and its point reflection -ELU(-x) in the second, so that both convex and
    concave shapes can be made of non-negative weights (Runje and Shankaranarayana, Constrained monotonic neural
    networks, 2023). `weights` hold what is computed with: the absolute values are taken when it is trained.
    """

    def __init__(self, weights: Mapping[str, Floats]) -> None:
        self.weights = dict(weights)

    def scores(self, features: Floats) -> FloatArray:
        """Scores [n] of features [n, D]: the logits of a softmax over the pool."""
        w = self.weights
        z = np.clip((features - w["mean"]) / w["scale"], -CLIP, CLIP)
        hidden = _act(_product(z, w["a.weight"]) + w["a.bias"])
        hidden = _act(_product(hidden, w["b.weight"]) + w["b.bias"])
        scores = _product(hidden, w["c.weight"]) + _product(z, w["skip.weight"])
        return scores[:, 0].astype(np.float64)


def _product(x: Floats, weight: Floats) -> Floats:
    # einsum and not BLAS: products this small must not wake its threads beside a busy language model.
    product: Floats = np.einsum("nd,hd->nh", x, weight)
    return product


def _act(x: Floats) -> Floats:
    half = x.shape[1] // 2
    return np.concatenate([_elu(x[:, :half]), -_elu(-x[:, half:])], axis=1)


def _elu(x: Floats) -> Floats:
    return np.where(x > 0, x, np.expm1(np.minimum(x, 0))).astype(np.float32)
