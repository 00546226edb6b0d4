"""Conditions on metadata."""

import pytest
from pydantic import TypeAdapter, ValidationError

from genrec.domain import Item
from genrec.filtering.conditions import Condition, matches

HEAT = Item("1", "Heat", {"year": "1995", "genres": ("Crime", "Drama"), "code": 1234567.0})


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ({}, True),
        ({"genres": "crime"}, True),
        ({"genres": ["Comedy", "Drama"]}, True),
        ({"genres": ["Comedy"]}, False),
        ({"year": {"min": 1995, "max": 1995}}, True),
        ({"year": {"min": 1996}}, False),
        ({"year": 1995}, True),
        ({"code": 1234567}, True),
        ({"code": 1234568}, False),
        ({"genres": {"min": 1}}, False),
        ({"studio": "any"}, False),
        ({"genres": "crime", "year": {"max": 1990}}, False),
    ],
)
def test_matches(conditions: dict[str, Condition], expected: bool) -> None:
    assert matches(HEAT, conditions) is expected


def test_an_unknown_bound_is_an_error() -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(dict[str, Condition]).validate_python({"year": {"minimum": 1990}})
