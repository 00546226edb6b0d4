"""The contract of stores."""

from __future__ import annotations

import pytest

from genrec.data.store import Exposure, Store
from genrec.domain import Event, Item
from genrec.errors import NotFoundError

ITEMS = [Item("a", "Alien", {"year": 1979.0}), Item("b", "Blade Runner"), Item("c", "Casablanca")]


class StoreContract:
    """Override `store` with an empty one."""

    @pytest.fixture
    def store(self) -> Store:
        """A store without items, events and exposures."""
        raise NotImplementedError

    @pytest.fixture
    def filled(self, store: Store) -> Store:
        """The store with three items and three events of one user."""
        store.put_items(ITEMS)
        store.append([Event("u", "b", 2.0), Event("u", "a", 1.0), Event("u", "c", 3.0)])
        return store

    def test_items_come_back_in_the_order_asked_for(self, filled: Store) -> None:
        assert filled.items(["c", "a"]) == [ITEMS[2], ITEMS[0]]
        assert filled.item("b") == ITEMS[1]
        assert list(filled.all_items()) == ITEMS
        assert filled.n_items() == 3

    def test_an_unknown_item_is_not_found(self, filled: Store) -> None:
        with pytest.raises(NotFoundError):
            filled.item("z")
        with pytest.raises(NotFoundError):
            filled.append([Event("u", "a", 4.0), Event("u", "z", 4.0)])
        assert len(filled.history("u").entries) == 3, "all events or none"

    def test_a_history_is_in_the_order_of_time(self, filled: Store) -> None:
        assert filled.history("u").item_ids() == ("a", "b", "c")
        assert filled.history("u", limit=2).item_ids() == ("b", "c")
        assert filled.history("u", before=3.0).item_ids() == ("a", "b")
        assert filled.history("nobody").entries == ()

    def test_an_event_id_counts_once(self, filled: Store) -> None:
        event = Event("u", "a", 5.0, event_id="once")
        assert [filled.append([event]), filled.append([event])] == [1, 0]

    def test_events_as_columns(self, filled: Store) -> None:
        log = filled.interactions()
        assert log.item_ids.tolist() == ["a", "b", "c"]
        assert log.item.tolist() == [0, 1, 2]
        assert log.timestamp.tolist() == [1.0, 2.0, 3.0]

    def test_exposures_come_back(self, filled: Store) -> None:
        shown = Exposure("r", "u", ("a", "b"), 7.0)
        filled.log_exposure(shown)
        assert [one.item_ids for one in filled.exposures()] == [("a", "b")]
        assert filled.exposure("r").user_id == "u"
        with pytest.raises(NotFoundError):
            filled.exposure("another")

    def test_blocked_items(self, filled: Store) -> None:
        filled.block("u", ["a"])
        assert filled.blocked("u") == {"a"}
        assert not filled.blocked("v")

    def test_the_fingerprint_changes_with_the_data(self, filled: Store) -> None:
        before = filled.fingerprint()
        assert filled.fingerprint() == before
        filled.append([Event("u", "a", 9.0)])
        assert filled.fingerprint() != before
