"""Items whose time is over: an event that took place, an offer that has ended."""

from __future__ import annotations

from genrec.domain import Item
from genrec.filtering.base import FilterContext


class Expired:
    """See Filter."""

    reason = "expired"

    def __init__(self, context: FilterContext) -> None:
        self.ids, self._now = frozenset[str](), context.now

    def refuses(self, item: Item) -> bool:
        """See Filter."""
        return item.expires is not None and item.expires <= self._now
