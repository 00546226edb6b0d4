"""The fitted network of both heads in NumPy: what serving and evaluation compute. `training` fits the same in torch.

No torch here: its threads wait for each other, and where a language model keeps all cores busy that turns one
millisecond into a hundred. For the same reason no BLAS: einsum computes on the thread that calls it.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.special import erf, softmax

from genrec.data.interactions import BoolArray, FloatArray
from genrec.scoring.features import PAIR_FEATURES, Floats

CLIP = 6.0
"""Standardised features beyond are cut off: what was never seen in training must not decide."""


class Network:
    """Both heads over the candidates of one request. x: text vectors, s: signals of events, z: standardised features.

        a_h = softmax_h(<W_q x_v, W_k [x_h, s_h]> / sqrt(width) + b * log age_h)       (Zhou et al., DIN, 2018)
        J = [I, O, I * O]      I = sum_h a_h W_v [x_h, s_h]      O = W_o x_v
        like = MLP([J, z_pairs]) + <w, z_pairs>
        affinity = MLP(J)
        h1 = act(A [z, affinity] + a)     h2 = act(|B| h1 + b)     click = |c| h2 + <s, z> + affinity

    A and s are absolute values in the columns of monotone features: P(click) never falls when one of them rises. act is
    ELU in the first half of the units and its point reflection -ELU(-x) in the second, so that convex and concave
    shapes can be made of non-negative weights (Runje and Shankaranarayana, Constrained monotonic neural networks,
    2023). `weights` hold what is computed with: absolute values are taken when it is trained. An empty history attends
    to a learned vector, which takes part in every attention.
    """

    def __init__(self, weights: Mapping[str, Floats]) -> None:
        self.weights = dict(weights)

    def click_logits(self, joint: Floats, columns: Floats) -> FloatArray:
        """Logits [n] of a softmax over the pool, from `joint` [n, J] and the columns [n, D] of its candidates."""
        w = self.weights
        z = self._standardised("click", columns)
        affinity = self._linear("affinity.3", _gelu(self._linear("affinity.0", joint)))
        hidden = _act(self._linear("click_a", np.concatenate([z, affinity], axis=1)))
        hidden = _act(self._linear("click_b", hidden))
        logits = self._linear("click_c", hidden) + np.einsum("nd,kd->nk", z, w["click_skip.weight"]) + affinity
        return np.asarray(logits[:, 0], dtype=np.float64)

    def like_logits(self, joint: Floats, columns: Floats) -> FloatArray:
        """Logits [n] of being liked if taken, before calibration."""
        z = self._standardised("like", columns[:, -len(PAIR_FEATURES) :])
        hidden = _gelu(self._linear("like.0", np.concatenate([joint, z], axis=1)))
        hidden = _gelu(self._linear("like.3", hidden))
        logits = self._linear("like.6", hidden) + self._linear("like_linear", z)
        return np.asarray(logits[:, 0], dtype=np.float64)

    def joint(self, items: Floats, history: Floats, signal: Floats, mask: BoolArray) -> Floats:
        """J [n, 3 width] of item vectors [n, p] over one history: vectors [H, p], signals [H, 2], mask [H]."""
        w = self.weights
        events = np.concatenate([history, signal], axis=-1)
        key, value = self._linear("key", events), self._linear("value", events)
        asked = self._linear("query", items) / np.sqrt(np.float32(key.shape[-1]))
        ages = np.log(np.arange(len(mask), 0, -1, dtype=np.float32))
        scores = np.einsum("nw,hw->nh", asked, key) + np.where(mask, w["age"] * ages, -np.inf)
        empty = np.einsum("nw,w->n", asked, w["empty_key"])[:, None]
        attention = softmax(np.concatenate([scores, empty], axis=1), axis=1)
        interest = np.einsum("nh,hw->nw", attention[:, :-1], value) + attention[:, -1:] * w["empty_value"]
        projected = self._linear("item", items)
        joint: Floats = np.concatenate([interest, projected, interest * projected], axis=1).astype(np.float32)
        return joint

    def _standardised(self, head: str, x: Floats) -> Floats:
        z = (x - self.weights[f"{head}_mean"]) / self.weights[f"{head}_scale"]
        clipped: Floats = np.clip(z, -CLIP, CLIP).astype(np.float32)
        return clipped

    def _linear(self, name: str, x: Floats) -> Floats:
        product: Floats = np.einsum("ni,oi->no", x, self.weights[f"{name}.weight"])
        bias = self.weights.get(f"{name}.bias")
        return product if bias is None else product + bias


def _gelu(x: Floats) -> Floats:
    result: Floats = 0.5 * x * (1 + erf(x * np.float32(np.sqrt(0.5))))
    return result


def _act(x: Floats) -> Floats:
    half = x.shape[1] // 2
    return np.concatenate([_elu(x[:, :half]), -_elu(-x[:, half:])], axis=1)


def _elu(x: Floats) -> Floats:
    return np.where(x > 0, x, np.expm1(np.minimum(x, 0))).astype(np.float32)
