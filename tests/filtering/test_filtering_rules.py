"""Every rule of the box: what it refuses, with which reason, and what a new one needs."""

from __future__ import annotations

from typing import Any

import pytest

from genrec.domain import History, HistoryEntry, Item
from genrec.errors import RequestError, SettingsError
from genrec.filtering.base import FILTERS, FilterContext, Filters
from genrec.filtering.conditions import check_fields
from genrec.settings import FilteringSettings
from genrec.testing import FilterContract

PLAIN = Item("x", "X")
HISTORY = History("u", (HistoryEntry(PLAIN, 0.0),))
REFUSED: dict[str, tuple[Item, dict[str, Any]]] = {
    "seen": (PLAIN, {"history": HISTORY}),
    "blocked": (PLAIN, {"blocked": frozenset({"x"})}),
    "excluded": (PLAIN, {"exclude": ("x",)}),
    "hidden": (Item("x", "X", hidden=True), {}),
    "expired": (Item("x", "X", expires=99.0), {}),
    "sponsored": (Item("x", "X", sponsored=True), {}),
    "conditions": (Item("x", "X", {"year": 1990.0}), {"where": {"year": {"min": 1991}}}),
}


def context(**facts: Any) -> FilterContext:
    return FilterContext(**{"history": History("u"), "now": 100.0, **facts})


def test_every_rule_of_the_box_is_tested_and_in_use() -> None:
    assert set(REFUSED) == set(FILTERS.names()) == set(FilteringSettings().rules)


@pytest.mark.parametrize("name", REFUSED)
class TestRules(FilterContract):
    @pytest.fixture
    def rule(self, name: str) -> Any:
        return FILTERS.find(name)

    @pytest.fixture
    def case(self, name: str) -> tuple[Item, dict[str, Any]]:
        return REFUSED[name]

    def test_its_reason_is_the_one_that_is_given(self, rule: Any, case: tuple[Item, dict[str, Any]]) -> None:
        item, facts = case
        assert Filters.of(context(**facts)).reason(item) == rule.reason


def test_the_first_rule_gives_the_reason() -> None:
    both = context(history=HISTORY, blocked={"x"})
    assert Filters.of(both).reason(PLAIN) == "blocked"
    assert Filters.of(both, ["seen", "blocked"]).reason(PLAIN) == "seen"
    assert Filters.of(both).refused == {"x": "blocked"}


def test_what_the_caller_names_may_be_seen_or_sponsored_but_not_hidden() -> None:
    named = Filters.of(context(history=HISTORY, by_caller=True))
    assert named.reason(PLAIN) is None
    assert named.reason(Item("y", "Y", sponsored=True)) is None
    assert named.reason(Item("y", "Y", hidden=True)) == "hidden"


class Adults:
    """A rule of an outsider."""

    reason = "for adults"
    ids = frozenset[str]()

    def __init__(self, context: FilterContext) -> None:
        pass

    def refuses(self, item: Item) -> bool:
        return item.metadata.get("age") == 18.0


def test_a_new_rule_is_named_by_its_path() -> None:
    filters = Filters.of(context(), ["hidden", f"{__name__}.Adults"])
    assert filters.reason(Item("x", "X", {"age": 18.0})) == "for adults"


def test_an_unknown_rule_is_an_error_with_the_names() -> None:
    with pytest.raises(SettingsError, match="no filter 'hiden'") as raised:
        Filters.of(context(), ["hiden"])
    assert "did you mean hidden?" in raised.value.hint


def test_a_condition_on_an_unknown_field_names_the_nearest() -> None:
    check_fields(["genres"], {"genres", "year"})
    with pytest.raises(RequestError, match="no item has a field 'gener'") as raised:
        check_fields(["gener"], {"genres", "year"})
    assert raised.value.hint == "did you mean 'genres'? fields of the catalogue: genres, year"
    with pytest.raises(RequestError) as raised:
        check_fields(["gener"], set())
    assert raised.value.hint == "fields of the catalogue: none"
