"""What the language model's score weighs beside the second stage, and when reading it can change the answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit, log_softmax

from genrec.data.interactions import FloatArray
from genrec.fusion.pools import standardised

UNMEASURED = 0.1
"""Weight of the language model while no validation slate was read by it: a tie-break."""
SHORT = 5
"""Histories of at most so many events are short."""
FEWEST = 20
"""With fewer validation slates of a kind, the kind takes the weight of all; requests see `_tie_break`."""


@dataclass(frozen=True, eq=False)
class Slate:
    """One slate as the model read it: second-stage scores [n], the model's scores [n] as `validity.llm_scores` gives
    them, the position of the item the user then chose, the length of his history, and whether he asked in words.
    """

    base: FloatArray
    llm: FloatArray
    target: int
    events: int
    request: bool = False


@dataclass(frozen=True)
class Gate:
    """Predicts from the second stage alone whether the model would change the top k.

    p = logistic(intercept + margin * log(m + 1e-3) + events * log(1 + events)), m the smallest gap between neighbours
    among the k + 1 best second-stage scores. Below `threshold` the model is not read.
    """

    intercept: float = 0.0
    margin: float = 0.0
    events: float = 0.0
    threshold: float = 0.0
    k: int = 10

    def probability(self, base: FloatArray, events: int) -> float:
        """The probability that the model would change the order of the k best."""
        x = _margin_features(base, events, self.k)
        return float(expit(x @ np.array([self.intercept, self.margin, self.events])))


@dataclass(frozen=True)
class LanguageModelWeights:
    """score = base + w * (llm - its mean) / scale, w by the kind of request, never negative.

    `scale` is the usual spread of the model's scores within a slate, so that a slate of which the model says little
    stays as it was. Before anything was read it is 0, and scores are standardised within the slate.
    """

    long: float = UNMEASURED
    short: float = UNMEASURED
    request: float = UNMEASURED
    gate: Gate = Gate()
    scale: float = 0.0
    slates: int = 0

    def weight(self, events: int, request: bool) -> float:
        """The weight for a history of so many events, and whether there is a request in words."""
        return self.request if request else self.short if events <= SHORT else self.long

    def combine(self, base: FloatArray, llm: FloatArray, events: int, request: bool) -> FloatArray:
        """Scores [n] with the model's."""
        return base + self.weight(events, request) * _centred(llm, self.scale)

    def gain(self, base: FloatArray, events: int, request: bool) -> float:
        """How probable it is that reading the slate changes the answer: 0 where the model has no weight, 1 with a
        request in words, of which no margin tells anything.
        """
        if not self.weight(events, request):
            return 0.0
        return 1.0 if request else self.gate.probability(base, events)

    def useful(self, base: FloatArray, events: int, request: bool) -> bool:
        """Whether reading the slate is expected to change the answer: never where the model has no weight."""
        gain = self.gain(base, events, request)
        return gain > 0 and (request or gain >= self.gate.threshold)


def fit_language_model(read: Sequence[Slate], k: int = 10, l2: float = 0.01) -> LanguageModelWeights:
    """Weights by kind on slates of validation users, and the gate. Without any slate all keep `UNMEASURED`."""
    read = [slate for slate in read if len(slate.base) > 1]
    plain = [slate for slate in read if not slate.request]
    asked = [slate for slate in read if slate.request]
    if not read:
        return LanguageModelWeights()
    scale = float(np.sqrt(np.mean([slate.llm.var() for slate in read])))
    whole = _weight(plain, scale, l2) if plain else UNMEASURED
    kinds = ([s for s in plain if s.events > SHORT], [s for s in plain if s.events <= SHORT])
    long, short = (_weight(kind, scale, l2) if len(kind) >= FEWEST else whole for kind in kinds)
    request = _weight(asked, scale, l2) if len(asked) >= FEWEST else _tie_break(plain, scale, whole)
    weights = LanguageModelWeights(long, short, request, scale=scale, slates=len(read))
    return replace(weights, gate=_fit_gate(weights, plain, k))


def curve(weights: LanguageModelWeights, read: Sequence[Slate], k: int = 10) -> list[dict[str, float]]:
    """NDCG@k against the share of slates that the model reads, for every threshold between none and all."""
    rows = _gated(weights, read, k)
    n = len(rows)
    without, with_llm = rows[:, 1], rows[:, 2]
    found = []
    for threshold in sorted({0.0, *rows[:, 0].tolist(), 1.1}):
        is_read = rows[:, 0] >= threshold
        values = np.where(is_read, with_llm, without)
        found.append({"threshold": threshold, "share": float(is_read.sum() / n), f"ndcg@{k}": float(values.mean())})
    return found


def ndcg_of(scores: FloatArray, target: int, k: int) -> float:
    """NDCG@k of one slate with one target; of equal scores the first stands first."""
    rank = int(np.count_nonzero(scores > scores[target]) + np.count_nonzero(scores[:target] == scores[target]))
    return 1 / float(np.log2(rank + 2)) if rank < k else 0.0


def _centred(llm: FloatArray, scale: float) -> FloatArray:
    return (llm - llm.mean()) / scale if scale > 0 else standardised(llm)


def _weight(read: Sequence[Slate], scale: float, l2: float) -> float:
    """The best weight in 0..10, or 0 where it betters the mean loss by less than one standard error.

    The one-standard-error rule (Breiman et al., 1984) keeps a model that says nothing from adding its noise.
    """
    found = minimize_scalar(lambda w: _losses(read, scale, w).mean() + l2 * w * w, bounds=(0.0, 10.0), method="bounded")
    gain = _losses(read, scale, 0.0) - _losses(read, scale, float(found.x))
    return float(found.x) if _is_clear(gain) else 0.0


def _tie_break(plain: Sequence[Slate], scale: float, whole: float) -> float:
    """The weight for requests of which too few were read: that of all, and at least `UNMEASURED`.

    A model that could not be shown to help without words may well hear them. One that was shown to mislead has none.
    """
    harm = _losses(plain, scale, UNMEASURED) - _losses(plain, scale, 0.0)
    return whole if _is_clear(harm) else max(whole, UNMEASURED)


def _losses(read: Sequence[Slate], scale: float, weight: float) -> FloatArray:
    """-log softmax(scores)[target] of each slate [m] if the model weighs so much."""
    return np.array(
        [-log_softmax(slate.base + weight * _centred(slate.llm, scale))[slate.target] for slate in read],
        dtype=np.float64,
    )


def _is_clear(difference: FloatArray) -> bool:
    """Whether the mean of the differences [m] is above 0 by more than one standard error."""
    n = len(difference)
    return n > 1 and float(difference.mean()) > float(difference.std(ddof=1)) / np.sqrt(n)


def _margin_features(base: FloatArray, events: int, k: int) -> FloatArray:
    best = np.sort(base)[::-1][: k + 1]
    margin = float(-np.diff(best).max()) if len(best) > 1 else 0.0
    return np.array([1.0, np.log(margin + 1e-3), np.log1p(events)])


def _gated(weights: LanguageModelWeights, read: Sequence[Slate], k: int) -> FloatArray:
    """Rows (probability of a change, NDCG without the model, NDCG with it) [m, 3]; 0 probability without weight."""
    rows = []
    for slate in read:
        combined = weights.combine(slate.base, slate.llm, slate.events, slate.request)
        p = weights.gain(slate.base, slate.events, slate.request)
        rows.append((p, ndcg_of(slate.base, slate.target, k), ndcg_of(combined, slate.target, k)))
    return np.array(rows, dtype=np.float64).reshape(-1, 3)


def _fit_gate(weights: LanguageModelWeights, read: Sequence[Slate], k: int) -> Gate:
    """Logistic regression on whether the k best change, and the highest threshold at which no loss is seen.

    The threshold is the highest of which neither it nor any lower one has a mean NDCG@k below reading always.
    """
    read = [slate for slate in read if weights.weight(slate.events, False) > 0]
    if len(read) < FEWEST:
        return Gate(k=k)
    x = np.stack([_margin_features(slate.base, slate.events, k) for slate in read])
    changed = np.array([_changes(weights, slate, k) for slate in read], dtype=np.float64)

    def loss(w: FloatArray) -> tuple[float, FloatArray]:
        z = x @ w
        value = np.mean(np.logaddexp(0, z) - changed * z) + 0.01 * float(w[1:] @ w[1:])
        slope = (expit(z) - changed) @ x / len(x) + 0.02 * np.array([0.0, w[1], w[2]])
        return float(value), slope

    found: Any = minimize(loss, np.zeros(3), jac=True, method="L-BFGS-B")
    intercept, margin, by_events = (float(value) for value in found.x)
    gate = Gate(intercept, margin, by_events, k=k)
    rows = _gated(replace(weights, gate=gate), read, k)
    threshold = 0.0
    for tried in np.sort(rows[:, 0]):
        if np.where(rows[:, 0] >= tried, rows[:, 2] - rows[:, 2], rows[:, 1] - rows[:, 2]).sum() < -1e-12:
            break
        threshold = float(tried)
    return replace(gate, threshold=threshold)


def _changes(weights: LanguageModelWeights, slate: Slate, k: int) -> bool:
    combined = weights.combine(slate.base, slate.llm, slate.events, slate.request)
    before, after = (np.argsort(-scores, kind="stable")[:k] for scores in (slate.base, combined))
    return not np.array_equal(before, after)
