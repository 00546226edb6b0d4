"""The objective: the value by which an answer is ordered, of P(click), P(like) and numeric fields of the catalogue."""

from __future__ import annotations

from dataclasses import replace

from genrec.data.store import Store
from genrec.domain import Item
from genrec.errors import SettingsError
from genrec.reranking.base import Ranked, RerankContext, ScoredItem, by_score
from genrec.settings import ObjectiveSettings


class ObjectiveReranker:
    """Gives each item its value, and orders by it. With the default weights that is the order of P(click)."""

    name = "objective"

    def rerank(self, ranked: Ranked, context: RerankContext) -> Ranked:
        """See Reranker."""
        weights = context.settings.objective
        valued = tuple(replace(one, value=value(one, weights)) for one in ranked.items)
        ordered = by_score(valued, lambda one: one.value)
        return replace(ranked, items=valued).reordered(ordered, "objective")


def value(one: ScoredItem, weights: ObjectiveSettings) -> float:
    """The weighted sum. What an item does not have counts 0."""
    fields = sum(weight * number(one.candidate.item, name) for name, weight in weights.fields.items())
    return weights.click * one.p_click + weights.like * (one.p_like or 0.0) + fields


def number(item: Item, field: str) -> float:
    """A numeric field of an item; 0 where it has none, or something else."""
    found = item.metadata.get(field)
    return float(found) if isinstance(found, float | int) else 0.0


def check_fields(objective: ObjectiveSettings, store: Store) -> None:
    """SettingsError for a weighted field that no item of the catalogue has."""
    if not objective.fields:
        return
    known = store.metadata_fields()
    for field in objective.fields:
        if field not in known:
            listed = ", ".join(sorted(known)) or "none"
            raise SettingsError(
                f"objective.fields: no item has a field {field!r}", f"fields of the catalogue: {listed}"
            )
