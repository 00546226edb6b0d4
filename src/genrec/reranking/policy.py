"""What stands between a model's ranking and an answer: validity, agreement with P(click), and the policy.

Outcomes are data, not exceptions: whatever a ranker says, an answer holds items of the slate only, each at most once.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from scipy.stats import kendalltau

from genrec.data.interactions import FloatArray
from genrec.domain import Candidates, DroppedItem, Ranking, RecommendedItem
from genrec.fusion.model import Fusion
from genrec.settings import Policy

Kept = npt.NDArray[np.intp]
"""Positions in a pool that are kept."""


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
    the place stands in for them. Items that the ranking does not name get the score of the last one it names. Fusion
    weights must be learned on what this function returns, as it is what they are applied to.
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


def best(base: FloatArray, size: int) -> Kept:
    """Positions of the `size` best of a pool by second-stage scores [n], ascending; of equal ones the first."""
    return np.sort(np.argsort(-base, kind="stable")[:size])


def prune(candidates: Candidates, base: FloatArray, size: int) -> tuple[Candidates, Kept]:
    """The `size` best of a pool by second-stage scores [n], in the pool's order, and their positions in the pool."""
    keep = best(base, size)
    return replace(candidates, items=tuple(candidates.items[position] for position in keep)), keep


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the policy made of a ranking.

    `dropped` are vetoed items with the reason. `fallback` says why the language model took no (or not its full) part;
    None if it did.
    """

    items: tuple[RecommendedItem, ...]
    dropped: tuple[DroppedItem, ...]
    agreement: float | None
    fallback: str | None


def apply_policy(
    policy: Policy,
    candidates: Candidates,
    ranking: Ranking | None,
    p_click: FloatArray | None,
    base: FloatArray,
    *,
    fusion: Fusion,
    threshold: float,
    k: int,
    events: int = 0,
    query: bool = False,
    fallback: str | None = None,
) -> Outcome:
    """Turns a ranking, P(click) [n] and second-stage scores `base` [n] into the k items of an answer.

    annotate: the model's order, items that it did not name behind it. fuse: the order of `fusion`, in which the model
    weighs by the length of the history (`events`) and by whether there is a `query` in words. veto: the model's
    order without items whose P(click) is below `threshold`; if that is all of them the answer is empty, because a veto
    that yields when it is unanimous would show exactly what the operator forbade; `dropped` has the reasons.
    Without a ranking the order is that of the second stage, and `fallback` says why; a veto still holds. An invalid
    ranking is no ranking: the fallback is then 'invalid'; one without a finite score says nothing: 'empty'. Ties are
    broken by retriever score, then by id: the order of the slate decides nothing.
    """
    slate = candidates.items
    validity = None if ranking is None else validate(ranking, candidates)
    if validity is not None and not validity.ok:
        ranking, fallback = None, fallback or "invalid"
    llm = None if ranking is None else llm_scores(ranking, candidates)
    if ranking is not None and llm is None:
        fallback = fallback or "empty"
    unnamed = set(validity.missing) if validity is not None and llm is not None else set()
    retrieved = np.array([candidate.score for candidate in slate], dtype=np.float64)
    if ranking is not None and llm is not None and policy != "fuse":
        final, place = llm, _places(ranking, candidates)
    else:
        final = base if llm is None else fusion.llm.combine(base, llm, events, query)
        place = [0] * len(slate)
    order = sorted(range(len(slate)), key=lambda i: (place[i], -final[i], -retrieved[i], slate[i].item.id))
    vetoed = [i for i in order if policy == "veto" and p_click is not None and p_click[i] < threshold]
    shown = [i for i in order if i not in set(vetoed)][:k]
    return Outcome(
        items=tuple(
            RecommendedItem(
                item=slate[i].item,
                rank=rank,
                score=float(final[i]),
                p_click=None if p_click is None else float(p_click[i]),
                llm_score=None if llm is None or slate[i].item.id in unnamed else float(llm[i]),
                retriever_score=slate[i].score,
                sources=tuple(slate[i].sources),
            )
            for rank, i in enumerate(shown, start=1)
        ),
        dropped=tuple(DroppedItem(slate[i].item.id, f"p_click below {threshold:g}") for i in vetoed),
        agreement=_agreement(llm, unnamed, candidates, p_click),
        fallback=fallback,
    )


def _places(ranking: Ranking, candidates: Candidates) -> list[int]:
    """Place of each slate item in the ranking [n]; behind all for those it does not name."""
    places: dict[str, int] = {}
    for place, ranked in enumerate(ranking.items):
        if math.isfinite(ranked.score):
            places.setdefault(ranked.item_id, place)
    return [places.get(candidate.item.id, sys.maxsize) for candidate in candidates.items]


def _agreement(
    scores: FloatArray | None, unnamed: set[str], candidates: Candidates, p_click: FloatArray | None
) -> float | None:
    """Over the items that the model ranked."""
    if scores is None or p_click is None:
        return None
    ranked = [i for i, candidate in enumerate(candidates.items) if candidate.item.id not in unnamed]
    return agreement(scores[ranked], p_click[ranked])
