"""Filters for tests of retrieval."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from genrec.domain import History, Item
from genrec.filtering.base import FilterContext, Filters
from genrec.filtering.blocked import Blocked
from genrec.filtering.excluded import Excluded
from genrec.filtering.expired import Expired
from genrec.filtering.hidden import Hidden
from genrec.filtering.seen import Seen
from genrec.filtering.sponsored import Sponsored


class Where:
    """A rule that refuses what a function does not let pass."""

    reason = "condition"
    ids = frozenset[str]()

    def __init__(self, passes: Callable[[Item], bool]) -> None:
        self._passes = passes

    def refuses(self, item: Item) -> bool:
        return not self._passes(item)


def filters(
    history: History, where: Callable[[Item], bool] = lambda _: True, now: float = 0.0, **facts: Any
) -> Filters:
    """The rules of the box for a request, and `where` as the last of them."""
    context = FilterContext(history, now, **facts)
    rules = [rule(context) for rule in (Blocked, Excluded, Seen, Hidden, Expired, Sponsored)]
    return Filters([*rules, Where(where)])
