"""Items that the catalogue hides: taken down, but kept for what was learned from them."""

from __future__ import annotations

from genrec.domain import Item
from genrec.filtering.base import FilterContext


class Hidden:
    """See Filter."""

    reason = "hidden"

    def __init__(self, context: FilterContext) -> None:
        self.ids = frozenset[str]()

    def refuses(self, item: Item) -> bool:
        """See Filter."""
        return item.hidden
