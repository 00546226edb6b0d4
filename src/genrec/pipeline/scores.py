"""Scores of a pool: P(click), P(like), and P(click) again with what the language model says as evidence."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.special import softmax

from genrec.clicks.scorer import ClickScorer
from genrec.data.interactions import FloatArray
from genrec.domain import Candidates, History
from genrec.fusion.model import Fusion
from genrec.fusion.pools import pool_of


@dataclass(frozen=True, eq=False)
class Scores:
    """Scores of n candidates of one request; the order of an answer is that of `p_click`.

    `p_click` [n] is the probability that the item is the one that the user takes of the pool, `p_like` [n] that it is
    liked, None without a click scorer. `logits` [n] give `p_click`: items are as far apart as log-odds. `events` is the
    length of the history, `asked` whether there is a request in words.
    """

    p_click: FloatArray
    p_like: FloatArray | None
    logits: FloatArray
    events: int = 0
    asked: bool = False

    def take(self, kept: Any) -> Scores:
        """Scores of some of the candidates, with the probabilities that they have in the pool."""
        p_like = None if self.p_like is None else self.p_like[kept]
        return replace(self, p_click=self.p_click[kept], p_like=p_like, logits=self.logits[kept])


def score_items(
    fusion: Fusion, clicks: ClickScorer | None, candidates: Candidates, history: History, now: float, asked: bool
) -> Scores:
    """Scores of a pool without the language model."""
    if not candidates.items:
        return Scores(np.zeros(0), None, np.zeros(0), len(history.entries), asked)
    known = pool_of(candidates, history, clicks, now)
    logits = fusion.base(known)
    return Scores(softmax(logits), known.p_click, logits, len(history.entries), asked)


def with_llm(fusion: Fusion, scores: Scores, llm: FloatArray) -> Scores:
    """P(click) again with what the language model said of each item [n].

    It read the slate and not the rest of the pool: the probability that the item is in the slate stays what it was.
    """
    logits = fusion.llm.combine(scores.logits, llm, scores.events, scores.asked)
    return replace(scores, p_click=scores.p_click.sum() * softmax(logits), logits=logits)
