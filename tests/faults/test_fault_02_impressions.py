"""What was shown and not clicked is a 0 for P(click), and nothing that the user did."""

import numpy as np

from genrec.data.labels import shown_rows
from genrec.data.sqlite.store import SqliteStore
from genrec.data.store import Exposure
from genrec.domain import Event, Item


def test_impressions_are_the_labels(tmp_path) -> None:
    """Every user is shown one item of each kind and clicks the good one: labels are these, and not drawn."""
    with SqliteStore(tmp_path / "genrec.db", create=True) as store:
        store.put_items(Item(name, name) for name in ("good", "bad"))
        for user in range(250):
            store.append(
                [
                    Event(f"u{user}", "bad", 1.6e9 + user, "impression", 0.0),
                    Event(f"u{user}", "good", 1.6e9 + user, "click", 1.0),
                ]
            )
        rows = shown_rows(store.interactions(), store.shown(4.0))
        log = store.interactions()
        assert len(rows) == 500
        assert {log.item_ids[item] for item in rows.item[rows.label == 1]} == {"good"}
        assert {log.item_ids[item] for item in rows.item[rows.label == 0]} == {"bad"}
        assert np.bincount(log.item, minlength=2).tolist() == [250, 0]
        assert [entry.item.id for entry in store.history("u0").entries] == ["good"]


def test_clicks_join_the_list_that_showed_them(tmp_path) -> None:
    """MIND: `N1-0 N2-1` is one list, and a click may come later than its impression."""
    with SqliteStore(tmp_path / "genrec.db", create=True) as store:
        store.put_items(Item(name, name) for name in "abc")
        store.append(
            [
                Event("u", "a", 10.0, "impression", 0.0),
                Event("u", "b", 10.0, "impression", 1.0),
                Event("u", "c", 10.0, "impression"),
                Event("u", "c", 12.0, "click"),
            ]
        )
        ((shown, clicked),) = store.shown(4.0)
        assert shown.item_ids == ("a", "b", "c")
        assert shown.timestamp == 10.0
        assert clicked == {"b", "c"}
        assert [entry.item.id for entry in store.history("u", limit=5).entries] == ["b", "c"]


def test_lists_that_were_logged_are_not_told_twice(tmp_path) -> None:
    with SqliteStore(tmp_path / "genrec.db", create=True) as store:
        store.put_items(Item(name, name) for name in "ab")
        store.log_exposure(Exposure("r", "u", ("a", "b"), 9.0))
        store.append(
            [
                Event("u", "a", 10.0, "impression", request_id="r"),
                Event("u", "b", 10.0, "click", request_id="r"),
                Event("v", "b", 11.0, "impression"),
            ]
        )
        assert [(shown.user_id, shown.item_ids, clicked) for shown, clicked in store.shown(4.0)] == [
            ("u", ("a", "b"), {"b"}),
            ("v", ("b",), frozenset()),
        ]
