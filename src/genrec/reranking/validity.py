"""Validity of the language model's ranking, its agreement with P(click), and P(click) again with it as evidence.

Whatever a ranker says, an answer holds items of the slate only, each at most once: a ranking that names others, or one
twice, is no ranking, and the list stays as it is without the model.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from scipy.stats import kendalltau

from genrec.data.interactions import FloatArray
from genrec.domain import Candidates, Ranking
from genrec.reranking.base import Ranked, RerankContext, by_score


@dataclass(frozen=True, slots=True)
class Validity:
    """What is wrong with a ranking: ids that are not in the slate, ids named again, slate items never named."""

    invalid: tuple[str, ...] = ()
    duplicate: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """No id is invalid or named twice. Missing ones are no fault: a ranker may stop at its first k."""
        return not self.invalid and not self.duplicate


class ValidityReranker:
    """Takes a valid ranking over into the list, and under `fuse` into P(click); says 'invalid' or 'empty' of others."""

    name = "validity"

    def rerank(self, ranked: Ranked, context: RerankContext) -> Ranked:
        """See Reranker. The order is then that of P(click)."""
        if context.ranking is None:
            return ranked
        found = validate(context.ranking, context.candidates)
        if not found.ok:
            return replace(ranked, fallback=ranked.fallback or "invalid")
        llm = llm_scores(context.ranking, context.candidates)
        if llm is None:
            return replace(ranked, fallback=ranked.fallback or "empty")
        place = {candidate.item.id: n for n, candidate in enumerate(context.candidates.items)}
        named = [item_id not in set(found.missing) for item_id in place]
        p_click = context.evidence(llm) if context.policy == "fuse" and context.evidence else context.p_click
        items = [
            replace(
                one,
                p_click=float(p_click[place[one.id]]),
                llm_score=float(llm[place[one.id]]) if named[place[one.id]] else None,
            )
            for one in ranked.items
        ]
        return replace(
            ranked,
            items=tuple(by_score(items, lambda one: one.p_click)),
            agreement=agreement(llm[named], context.p_click[named]),
        )


def validate(ranking: Ranking, candidates: Candidates) -> Validity:
    """Compares a ranking with its slate. An item without a finite score counts as missing."""
    slate = [candidate.item.id for candidate in candidates.items]
    known = set(slate)
    invalid: list[str] = []
    duplicate: list[str] = []
    named: set[str] = set()
    scored: set[str] = set()
    for ranked in ranking.items:
        if ranked.item_id not in known:
            invalid.append(ranked.item_id)
        elif ranked.item_id in named:
            duplicate.append(ranked.item_id)
        elif math.isfinite(ranked.score):
            scored.add(ranked.item_id)
        named.add(ranked.item_id)
    return Validity(tuple(invalid), tuple(duplicate), tuple(item for item in slate if item not in scored))


def llm_scores(ranking: Ranking, candidates: Candidates) -> FloatArray | None:
    """The ranking as one score for each slate item [n], higher is better, None if it names none of them.

    The order counts: where the scores rise along the ranking (as those of generated lists may), minus the logarithm of
    the place stands in for them. Items that the ranking does not name get the score of the last one it names. The
    weight of the model must be learned on what this function returns, as it is what it is applied to.
    """
    position = {candidate.item.id: index for index, candidate in enumerate(candidates.items)}
    named: dict[int, float] = {}
    for ranked in ranking.items:
        if ranked.item_id in position and math.isfinite(ranked.score):
            named.setdefault(position[ranked.item_id], ranked.score)
    if not named:
        return None
    values = list(named.values())
    if any(later > earlier for earlier, later in pairwise(values)):
        values = [-math.log(1 + place) for place in range(len(values))]
    scores = np.full(len(candidates.items), values[-1], dtype=np.float64)
    scores[list(named)] = values
    return scores


def agreement(scores: Sequence[float] | FloatArray, p_click: Sequence[float] | FloatArray) -> float | None:
    """Kendall's tau-b between two scores of the same items [n] [n], in [-1, 1]; 1 is the same order.

    Tau-b corrects for ties (M. Kendall, The treatment of ties in ranking problems, 1945). None where it is not
    defined: fewer than two items, or all tied in one of the two.
    """
    if len(scores) < 2:
        return None
    tau = float(kendalltau(scores, p_click, variant="b").statistic)
    return tau if math.isfinite(tau) else None
