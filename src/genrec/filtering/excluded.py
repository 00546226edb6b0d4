"""What the caller excludes from this one answer."""

from __future__ import annotations

from genrec.domain import Item
from genrec.filtering.base import FilterContext


class Excluded:
    """See Filter."""

    reason = "excluded"

    def __init__(self, context: FilterContext) -> None:
        self.ids = frozenset(context.exclude)

    def refuses(self, item: Item) -> bool:
        """See Filter."""
        return item.id in self.ids
