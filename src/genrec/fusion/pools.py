"""What is known of a pool of candidates without the language model, as the columns that fusion reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from genrec.clicks.calibration import to_logit
from genrec.clicks.features import FEATURES as PAIR_FEATURES
from genrec.clicks.scorer import ClickScorer
from genrec.data.interactions import FloatArray
from genrec.domain import Candidates, History
from genrec.retrieval.hybrid import REQUEST, REQUEST_WORDS

Floats = npt.NDArray[np.float32]
_NEWEST = 10


@dataclass(frozen=True, eq=False)
class Pool:
    """n candidates of one request: the blend's score [n], each retriever's raw score [n], and P(click) [n] with what
    it was made of: `pairs` [n, F] in the order of `clicks.features.FEATURES`, and `cosines` [n, 2] of the texts to the
    newest event and to the mean of the newest ten. The last three are None without a click scorer. `events` is the
    length of the history. `request` [n, 3] is how near the text is to the request in words, what words they share, and
    1 where nothing but the request proposes the item; None without a request.
    """

    retriever: FloatArray
    parts: Mapping[str, FloatArray]
    events: int
    p_click: FloatArray | None = None
    pairs: Floats | None = None
    cosines: Floats | None = None
    request: FloatArray | None = None

    def __len__(self) -> int:
        return len(self.retriever)


def pool_of(candidates: Candidates, history: History, clicks: ClickScorer | None, now: float) -> Pool:
    """The pool of a request: what serving, fitting and evaluation hand to fusion."""
    retriever = np.array([candidate.score for candidate in candidates.items], dtype=np.float64)
    names = dict.fromkeys(name for candidate in candidates.items for name in candidate.parts)
    parts = {
        name: np.array([candidate.parts.get(name, 0.0) for candidate in candidates.items], dtype=np.float64)
        for name in names
    }
    near, words, request = parts.pop(REQUEST, None), parts.pop(REQUEST_WORDS, None), None
    if near is not None and words is not None:
        alone = [candidate.sources.keys() == {REQUEST} for candidate in candidates.items]
        request = np.column_stack([near, words, alone])
    if clicks is None or not candidates.items:
        return Pool(retriever, parts, len(history.entries), request=request)
    described = clicks.described(history, [candidate.item for candidate in candidates.items], now=now)
    vectors, pairs = clicks.side.vectors, described.pairs
    seen = vectors[pairs.histories.item[0][pairs.histories.mask[0]][-_NEWEST:]]
    own = vectors[pairs.item]
    cosines = np.zeros((len(own), 2), dtype=np.float32)
    if len(seen):
        # einsum: a product this small must not wake the threads of BLAS.
        cosines = np.einsum("np,pc->nc", own, np.stack([seen[-1], seen.mean(axis=0)], axis=1))
    return Pool(retriever, parts, len(history.entries), described.p_click, pairs.features, cosines, request)


def columns(parts: Sequence[str]) -> list[str]:
    """Names of the columns of `matrix` for these retrievers."""
    return [
        "retriever",
        "retriever_z",
        "retriever_rank",
        "p_click",
        "p_click_centred",
        *(f"{name}{form}" for name in parts for form in ("", "_z")),
        "cosine_newest",
        "cosine_recent",
        "events",
        *PAIR_FEATURES,
    ]


MONOTONE = ("retriever", "retriever_z", "retriever_rank", "p_click", "p_click_centred")
"""Columns of which more can never be worse."""


def matrix(pool: Pool, parts: Sequence[str]) -> Floats:
    """Features [n, D] in the order of `columns`; the pool must have P(click)."""
    if pool.p_click is None or pool.pairs is None or pool.cosines is None:
        raise ValueError("the pool has no P(click)")
    logit = to_logit(pool.p_click)
    absent = np.zeros(len(pool))
    raw = [pool.parts.get(name, absent) for name in parts]
    table = [
        pool.retriever,
        standardised(pool.retriever),
        -np.log(rankdata(-pool.retriever)),
        logit,
        logit - logit.mean() if len(logit) else logit,
        *(column for values in raw for column in (values, standardised(values))),
        pool.cosines[:, 0],
        pool.cosines[:, 1],
        np.full(len(pool), np.log1p(pool.events)),
    ]
    return np.column_stack([np.column_stack(table), pool.pairs]).astype(np.float32)


def standardised(values: FloatArray) -> FloatArray:
    """Zero mean and unit variance [n]; all 0 where the values are equal."""
    if not len(values):
        return values
    unit = values / max(1.0, float(np.abs(values).max()))  # the variance of huge scores would overflow
    spread = float(unit.std())
    return (unit - unit.mean()) / spread if spread > 1e-12 else np.zeros_like(unit)
