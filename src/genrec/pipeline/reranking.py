"""Re-ranking of a slate: the stages of the settings run one after the other, each within what it may do."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from genrec.data.interactions import FloatArray
from genrec.domain import DroppedItem
from genrec.errors import SettingsError
from genrec.reranking.base import RERANKERS, Ranked, RerankContext, Reranker, ScoredItem, by_score


def rerank(context: RerankContext, fallback: str | None, p_like: FloatArray | None) -> Ranked:
    """The slate of the context in the order in which it is shown, not cut at k yet.

    `fallback` says why there is no ranking (or only a part of one), `p_like` [n] belongs to the candidates. Of equal
    P(click) the item that retrieval prefers comes first: the order of the slate decides nothing.
    """
    items = (
        ScoredItem(one, p := float(context.p_click[n]), None if p_like is None else float(p_like[n]), p)
        for n, one in enumerate(context.candidates.items)
    )
    ranked = Ranked(tuple(by_score(items, lambda one: one.p_click)), fallback=fallback)
    for stage in stages(context.settings.reranking.stages):
        ranked = _checked(stage, ranked, stage.rerank(ranked, context))
    return ranked


@cache
def stages(names: tuple[str, ...]) -> tuple[Reranker, ...]:
    """The re-rankers of these names or dotted paths; SettingsError for one that there is not."""
    return tuple(RERANKERS.find(name)() for name in names)


def _checked(stage: Reranker, before: Ranked, after: Ranked) -> Ranked:
    """The list that a stage made; what it left out in silence gets a reason. SettingsError for what it must not do."""
    old, new = [one.id for one in before.items], [one.id for one in after.items]
    left = set(new)
    if len(left) < len(new) or not left <= set(old):
        raise SettingsError(
            f"the re-ranker {stage.name!r} gave an item twice, or one that it was not given",
            "a re-ranker moves items or leaves them out; take it out of reranking.stages until it does",
        )
    if before.utilities is not None:
        if new != [item_id for item_id in old if item_id in left]:
            raise SettingsError(
                f"the re-ranker {stage.name!r} moved items of a list that was drawn at random",
                "put it before exploration in reranking.stages: the logged odds would be wrong",
            )
        after = replace(after, utilities=before.utilities)
    said = {one.item_id for one in after.dropped}
    silent = tuple(
        DroppedItem(item_id, f"left out by {stage.name}", stage.name)
        for item_id in old
        if item_id not in left and item_id not in said
    )
    return replace(after, dropped=after.dropped + silent)
