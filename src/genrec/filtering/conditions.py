"""Conditions that a caller puts on items: {"genres": ["Comedy", "Drama"], "year": {"min": 1990}}."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from difflib import get_close_matches

from pydantic import ConfigDict, FiniteFloat
from typing_extensions import TypedDict

from genrec.domain import History, Item, MetadataValue
from genrec.errors import RequestError
from genrec.filtering.base import FilterContext


class Bounds(TypedDict, total=False):
    """Both ends belong to the range; either may be missing."""

    __pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[misc]
    min: FiniteFloat
    max: FiniteFloat


Condition = str | float | Sequence[str | float] | Bounds
"""Equal to a value, one of several values, or a range (see `Bounds`)."""


class Conditions:
    """See Filter. A field that the item does not have meets no condition."""

    reason = "condition"

    def __init__(self, context: FilterContext) -> None:
        self.ids = frozenset[str]()
        # Thousands of values may be asked for, and thousands of items compared with them.
        self._wanted = {field: _wanted(condition) for field, condition in context.where.items()}

    def refuses(self, item: Item) -> bool:
        """See Filter."""
        return not all(
            field in item.metadata and _meets(item.metadata[field], wanted) for field, wanted in self._wanted.items()
        )


def matches(item: Item, conditions: Mapping[str, Condition]) -> bool:
    """Whether the item meets every condition."""
    return not Conditions(FilterContext(History(None), 0.0, where=conditions)).refuses(item)


def check_fields(where: Iterable[str], known: Collection[str]) -> None:
    """RequestError that names the known fields, and the nearest, for a condition on a field that no item has."""
    for field in where:
        if field in known:
            continue
        near = get_close_matches(field, known, 1)
        guess = f"did you mean {near[0]!r}? " if near else ""
        fields = ", ".join(sorted(known)) if known else "none"
        raise RequestError(f"where: no item has a field {field[:64]!r}", f"{guess}fields of the catalogue: {fields}")


def _wanted(condition: Condition) -> Bounds | frozenset[str]:
    if isinstance(condition, dict):
        return condition
    values = [condition] if isinstance(condition, str | int | float) else condition
    return frozenset(map(_key, values))


def _meets(value: MetadataValue, wanted: Bounds | frozenset[str]) -> bool:
    if isinstance(wanted, dict):
        number = _number(value)
        return number is not None and wanted.get("min", number) <= number <= wanted.get("max", number)
    present = value if isinstance(value, tuple) else (value,)
    return not wanted.isdisjoint(map(_key, present))


def _key(value: str | float) -> str:
    number = _number(value)
    return value.casefold() if number is None and isinstance(value, str) else repr(number)


def _number(value: MetadataValue) -> float | None:
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
