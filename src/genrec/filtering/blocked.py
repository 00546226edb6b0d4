"""What the user has blocked is never proposed, even if a caller names it."""

from __future__ import annotations

from genrec.domain import Item
from genrec.filtering.base import FilterContext


class Blocked:
    """See Filter."""

    reason = "blocked"

    def __init__(self, context: FilterContext) -> None:
        self.ids = frozenset(context.blocked)

    def refuses(self, item: Item) -> bool:
        """See Filter."""
        return item.id in self.ids
