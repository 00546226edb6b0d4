"""Sponsored items stand in an answer only where the caller allows or names them."""

from __future__ import annotations

from genrec.domain import Item
from genrec.filtering.base import FilterContext


class Sponsored:
    """See Filter."""

    reason = "sponsored"

    def __init__(self, context: FilterContext) -> None:
        self.ids, self._allowed = frozenset[str](), context.allow_sponsored or context.by_caller

    def refuses(self, item: Item) -> bool:
        """See Filter."""
        return item.sponsored and not self._allowed
