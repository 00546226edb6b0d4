"""Which events on a shown list are clicks."""

import numpy as np
import pytest

from genrec.data.event_types import is_click
from genrec.data.sqlite.store import SqliteStore
from genrec.data.store import Exposure
from genrec.domain import Event, Item
from genrec.evaluation.offpolicy.exposures import logged_lists


@pytest.fixture
def store(tmp_path):
    with SqliteStore(tmp_path / "genrec.db", create=True) as opened:
        opened.put_items(Item(name, name) for name in "abcd")
        yield opened


@pytest.mark.parametrize(
    ("kind", "value", "click"),
    [
        ("click", None, True),
        ("Click", 1.0, True),
        ("add to cart", 2.0, True),
        ("play", 0.5, True),
        ("interaction", None, True),
        ("rating", 4.0, True),
        ("rating", 3.5, False),
        ("watch", 5.0, True),
        ("watch", 1.0, False),
        ("impression", None, False),
        ("skip", 1.0, False),
        ("dislike", 5.0, False),
        ("not_interested", None, False),
    ],
)
def test_type_and_value_decide(kind, value, click):
    assert is_click(kind, value, 4.0) is click


def test_only_clicks_are_rewards(store):
    store.log_exposure(Exposure("r", "u", tuple("abcd"), 10.0, propensities=(0.5,) * 4))
    acts = [("a", "impression", None), ("b", "rating", 2.0), ("c", "click", None), ("d", "rating", 3.0)]
    store.append([Event("u", item, 11.0, kind, value, request_id="r") for item, kind, value in acts])
    assert store.clicked() == {"r": {"c"}}
    assert logged_lists(store).reward.tolist() == [[0, 0, 1, 0]]
    assert logged_lists(store, liked=3.0).reward.tolist() == [[0, 0, 1, 1]]


def test_a_click_stays_one_whatever_comes_after(store):
    store.append([Event("u", "a", 11.0, "click", request_id="r"), Event("u", "a", 12.0, "dislike", request_id="r")])
    store.append([Event("u", "b", 11.0, "skip", request_id="other"), Event("u", "b", 12.0, "click")])
    assert store.clicked() == {"r": {"a"}}


class TestFingerprint:
    """The types of events decide words and ratings in prompts: data that differs in them is other data."""

    @staticmethod
    def of(folder, *kinds):
        with SqliteStore(folder, create=True) as store:
            store.put_items(Item(name, name) for name in "ab")
            store.append([Event("u", item, float(n), kind) for n, (item, kind) in enumerate(kinds)])
            return store.fingerprint(), store.interactions().event_types

    def test_it_knows_the_name_of_a_type(self, tmp_path):
        assert self.of(tmp_path / "1", ("a", "watch"))[0] != self.of(tmp_path / "2", ("a", "rating"))[0]

    def test_it_knows_which_event_has_which(self, tmp_path):
        first = self.of(tmp_path / "1", ("a", "watch"), ("b", "rating"))
        assert first[0] != self.of(tmp_path / "2", ("a", "rating"), ("b", "watch"))[0]

    def test_it_does_not_know_in_which_order_types_were_numbered(self, tmp_path):
        plain, types = self.of(tmp_path / "1", ("a", "watch"), ("b", "rating"))
        with SqliteStore(tmp_path / "2", create=True) as store:
            store.put_items(Item(name, name) for name in "ab")
            connection = store._connection()
            connection.executemany("INSERT INTO event_types (name) VALUES (?)", [("rating",), ("unused",)])
            store.append([Event("u", "a", 0.0, "watch"), Event("u", "b", 1.0, "rating")])
            assert store.interactions().event_types != types
            assert np.unique(store.interactions().event_type).size == 2
            assert store.fingerprint() == plain
