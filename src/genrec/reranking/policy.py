"""The policy: whose order counts, the language model's or that of the values, and whether P(click) has a veto."""

from __future__ import annotations

import math

from genrec.domain import Ranking
from genrec.reranking.base import Ranked, RerankContext


class PolicyReranker:
    """`fuse` leaves the list as it is. `annotate` and `veto` put it into the order of a valid ranking; `veto` drops.

    Items that the ranking does not name stand behind it in the order they had. Without a valid ranking the order stays,
    and a veto still holds.
    """

    name = "policy"

    def rerank(self, ranked: Ranked, context: RerankContext) -> Ranked:
        """See Reranker. A veto may leave nothing: one that yields when it is unanimous would show what it forbids."""
        if context.policy == "fuse":
            return ranked
        if context.ranking is not None and any(one.llm_score is not None for one in ranked.items):
            place = places(context.ranking)
            in_order = sorted(ranked.items, key=lambda one: place.get(one.id, math.inf))
            ranked = ranked.reordered(in_order, "the language model's order")
        if context.policy == "veto":
            policy = context.settings.policy
            least = policy.threshold * (context.best if policy.relative else 1.0)
            why = f"p_click below {policy.threshold:g}{' of the best in the pool' if policy.relative else ''}"
            ranked = ranked.without({one.id: why for one in ranked.items if one.p_click < least}, self.name)
        return ranked


def places(ranking: Ranking) -> dict[str, int]:
    """Place of each item that has a finite score, by its id."""
    found: dict[str, int] = {}
    for place, ranked in enumerate(ranking.items):
        if math.isfinite(ranked.score):
            found.setdefault(ranked.item_id, place)
    return found
