"""The contract of filters."""

from __future__ import annotations

from typing import Any

import pytest

from genrec.domain import History, Item
from genrec.filtering.base import FilterContext


class FilterContract:
    """Override `rule`, and `case` with an item and what of a request makes the rule refuse it."""

    @pytest.fixture
    def rule(self) -> Any:
        """The class of the filter."""
        raise NotImplementedError

    @pytest.fixture
    def case(self) -> tuple[Item, dict[str, Any]]:
        """An item, and fields of `FilterContext`."""
        raise NotImplementedError

    def context(self, **facts: Any) -> FilterContext:
        """A request of a user without a history, at second 100."""
        return FilterContext(**{"history": History("u"), "now": 100.0, **facts})

    def test_refuses_what_it_is_for(self, rule: Any, case: tuple[Item, dict[str, Any]]) -> None:
        item, facts = case
        assert rule(self.context(**facts)).refuses(item)

    def test_refuses_nothing_of_a_plain_request(self, rule: Any) -> None:
        assert not rule(self.context()).refuses(Item("another", "Another", expires=101.0))

    def test_has_a_reason(self, rule: Any) -> None:
        assert rule.reason

    def test_ids_refused_unseen_are_those_that_a_look_would_refuse(
        self, rule: Any, case: tuple[Item, dict[str, Any]]
    ) -> None:
        made = rule(self.context(**case[1]))
        assert all(made.refuses(Item(item_id, "")) for item_id in made.ids)
