"""Conditions that a caller puts on items: {"genres": ["Comedy", "Drama"], "year": {"min": 1990}}."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import ConfigDict, FiniteFloat
from typing_extensions import TypedDict

from genrec.domain import Item, MetadataValue


class Bounds(TypedDict, total=False):
    """Both ends belong to the range; either may be missing."""

    __pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[misc]
    min: FiniteFloat
    max: FiniteFloat


Condition = str | float | Sequence[str | float] | Bounds
"""Equal to a value, one of several values, or a range (see `Bounds`)."""


def matches(item: Item, conditions: Mapping[str, Condition]) -> bool:
    """Whether the item meets every condition. A field that the item does not have meets none."""
    return all(
        field in item.metadata and _meets(item.metadata[field], condition) for field, condition in conditions.items()
    )


def _meets(value: MetadataValue, condition: Condition) -> bool:
    if isinstance(condition, dict):
        number = _number(value)
        return number is not None and condition.get("min", number) <= number <= condition.get("max", number)
    wanted = [condition] if isinstance(condition, str | int | float) else condition
    present = value if isinstance(value, tuple) else (value,)
    return bool({_key(entry) for entry in present} & {_key(entry) for entry in wanted})


def _key(value: str | float) -> str:
    number = _number(value)
    return value.casefold() if number is None and isinstance(value, str) else repr(number)


def _number(value: MetadataValue) -> float | None:
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
