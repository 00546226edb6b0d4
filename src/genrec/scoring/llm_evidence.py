"""The language model's scores as evidence for P(click): what they weigh, and when they can change the answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from genrec.data.interactions import FloatArray
from genrec.scoring.features import standardised

UNMEASURED = 0.1
"""Weight of a language model of which no validation slate was read, where it is read all the same: a tie-break."""
SHORT = 5
"""Histories of at most so many events are short."""
FEWEST = 20
"""With fewer validation slates of a kind, the kind takes the weight of all; queries see `_tie_break`."""
APART = 2.0
"""Two items whose scores are so many usual spreads apart are as far apart as the model often puts them."""


@dataclass(frozen=True, eq=False)
class ScoredSlate:
    """One slate as the model read it: calibrated click logits [n], the model's scores [n] as `llm_scores` gives them,
    the position of the item the user then took, the length of the history, and whether there was a query in words.
    """

    logits: FloatArray
    llm: FloatArray
    target: int
    events: int
    asked: bool = False


@dataclass(frozen=True)
class LlmWeights:
    """logits + w * (llm - its mean) / scale, w by the kind of request, never negative.

    `scale` is the usual spread of the model's scores within a slate, so that a slate of which the model says little
    stays as it was. Before anything was read it is 0, and scores are standardised within the slate. `slates` is on how
    many it was learned: 0 where nobody weighed the model.
    """

    long: float = UNMEASURED
    short: float = UNMEASURED
    query: float = UNMEASURED
    scale: float = 0.0
    slates: int = 0

    def weight(self, events: int, asked: bool) -> float:
        """The weight for a history of so many events, and whether there is a query in words."""
        return self.query if asked else self.short if events <= SHORT else self.long

    def combine(self, logits: FloatArray, llm: FloatArray, events: int, asked: bool) -> FloatArray:
        """Click logits [n] with the model's evidence."""
        return logits + self.weight(events, asked) * _centred(llm, self.scale)

    def gain(self, logits: FloatArray, events: int, asked: bool, k: int = 10) -> float:
        """How likely reading the slate is to change the k best, in 0..1: 0 where the model was not weighed or has no
        weight, 1 with a query in words, of which no margin tells anything.

        Else reach / (reach + gap), where gap is the smallest between neighbours among the k + 1 best, and reach how far
        the model moves two items apart: APART times its weight.
        """
        weight = self.weight(events, asked) if self.slates else 0.0
        best = np.sort(logits)[::-1][: k + 1]
        if weight == 0 or len(best) < 2:
            return 0.0
        return 1.0 if asked else APART * weight / (APART * weight + float(-np.diff(best).max()))

    def can_change(self, logits: FloatArray, events: int, asked: bool, k: int = 10) -> bool:
        """Whether reading the slate is worth it: the model's reach is larger than the gap (see `gain`)."""
        return self.gain(logits, events, asked, k) > 0.5


def fit_llm_weights(read: Sequence[ScoredSlate], l2: float = 0.01) -> LlmWeights:
    """Weights by kind on slates of validation users. Without any slate all keep `UNMEASURED`."""
    read = [slate for slate in read if len(slate.logits) > 1]
    if not read:
        return LlmWeights()
    scale = float(np.sqrt(np.mean([slate.llm.var() for slate in read])))
    plain, asked = ([slate for slate in read if slate.asked is kind] for kind in (False, True))
    whole = _weight(plain, scale, l2) if plain else UNMEASURED
    kinds = ([s for s in plain if s.events > SHORT], [s for s in plain if s.events <= SHORT])
    long, short = (_weight(kind, scale, l2) if len(kind) >= FEWEST else whole for kind in kinds)
    query = _weight(asked, scale, l2) if len(asked) >= FEWEST else _tie_break(plain, scale, whole)
    return LlmWeights(long, short, query, scale, len(read))


def _centred(llm: FloatArray, scale: float) -> FloatArray:
    return (llm - llm.mean()) / scale if scale > 0 else standardised(llm)


def _weight(read: Sequence[ScoredSlate], scale: float, l2: float) -> float:
    """The best weight in 0..10, or 0 where it betters the mean loss by less than one standard error.

    The one-standard-error rule (Breiman et al., 1984) keeps a model that says nothing from adding its noise.
    """
    found = minimize_scalar(lambda w: _losses(read, scale, w).mean() + l2 * w * w, bounds=(0.0, 10.0), method="bounded")
    gain = _losses(read, scale, 0.0) - _losses(read, scale, float(found.x))
    return float(found.x) if _is_clear(gain) else 0.0


def _tie_break(plain: Sequence[ScoredSlate], scale: float, whole: float) -> float:
    """The weight for queries of which too few were read: that of all, and at least `UNMEASURED`.

    A model that could not be shown to help without words may well hear them. One that was shown to mislead has none.
    """
    harm = _losses(plain, scale, UNMEASURED) - _losses(plain, scale, 0.0)
    return whole if _is_clear(harm) else max(whole, UNMEASURED)


def _losses(read: Sequence[ScoredSlate], scale: float, weight: float) -> FloatArray:
    """-log softmax(logits)[target] of each slate [m] if the model weighs so much."""
    return np.array(
        [-log_softmax(slate.logits + weight * _centred(slate.llm, scale))[slate.target] for slate in read],
        dtype=np.float64,
    )


def _is_clear(difference: FloatArray) -> bool:
    """Whether the mean of the differences [m] is above 0 by more than one standard error."""
    n = len(difference)
    return n > 1 and float(difference.mean()) > float(difference.std(ddof=1)) / np.sqrt(n)
