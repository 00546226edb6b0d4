"""The interface of filters: rules that keep items out of a recommendation, each with its reason."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, ClassVar, Protocol

from genrec.artifacts.alternatives import Alternatives
from genrec.domain import History, Item
from genrec.errors import SettingsError
from genrec.settings import FilteringSettings


@dataclass(frozen=True, eq=False)
class FilterContext:
    """What rules know of a request.

    `now` is in seconds since the epoch, or in the unit of the log where that has no clock. `blocked` are the ids that
    the user never wants, `exclude` those not wanted this time, `where` conditions on metadata. `by_caller`: the caller
    named the candidates, so that what was seen and what is sponsored is their choice.
    """

    history: History
    now: float
    blocked: Collection[str] = ()
    exclude: Collection[str] = ()
    where: Mapping[str, Any] = field(default_factory=dict)
    keep_seen: bool = False
    allow_sponsored: bool = False
    by_caller: bool = False


class Filter(Protocol):
    """One rule, made for one request. It holds on every path: retrieval, candidates of the caller, popularity, chat."""

    reason: ClassVar[str]
    """What is said of an item that the rule refuses."""
    ids: Collection[str]
    """Ids that it refuses without a look at the item: these are not even read from the store."""

    def __init__(self, context: FilterContext) -> None: ...

    def refuses(self, item: Item) -> bool:
        """Whether the item, as the store has it now, must not be recommended."""


FILTERS: Alternatives[Any] = Alternatives("filter", "genrec.filtering", Filter, error=SettingsError)


class Filters:
    """Several rules as one; the first that refuses an item gives the reason."""

    def __init__(self, rules: Sequence[Filter]) -> None:
        self._rules = [(rule.reason, rule) for rule in rules]
        self.refused: dict[str, str] = {}
        """Reason by id, for items that need not be looked at."""
        for reason, rule in self._rules:
            for item_id in rule.ids:
                self.refused.setdefault(item_id, reason)

    @classmethod
    def of(cls, context: FilterContext, rules: Sequence[str] = FilteringSettings().rules) -> Filters:
        """The rules of these names or dotted paths for one request. SettingsError for a name that there is not."""
        return cls([_rule(name)(context) for name in rules])

    def reason(self, item: Item) -> str | None:
        """Why the item must not be recommended; None where it may."""
        found = (reason for reason, rule in self._rules if item.id in rule.ids or rule.refuses(item))
        return self.refused.get(item.id) or next(found, None)


@cache
def _rule(name: str) -> Any:
    return FILTERS.find(name)
