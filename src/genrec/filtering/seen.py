"""What the user has seen already is not proposed again, unless they ask for it or name it themselves."""

from __future__ import annotations

from genrec.domain import Item
from genrec.filtering.base import FilterContext


class Seen:
    """See Filter."""

    reason = "seen"

    def __init__(self, context: FilterContext) -> None:
        kept = context.keep_seen or context.by_caller
        self.ids = frozenset() if kept else frozenset(context.history.item_ids())

    def refuses(self, item: Item) -> bool:
        """See Filter."""
        return item.id in self.ids
