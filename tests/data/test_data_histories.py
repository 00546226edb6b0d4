"""Columns of the log, and the histories made of them."""

from pathlib import Path

import numpy as np

from genrec.data.interactions import Interactions
from genrec.data.sqlite.store import SqliteStore
from genrec.domain import Event, Item


def test_rows_are_sorted_by_user_time_and_arrival() -> None:
    found = Interactions.from_columns(
        np.array(["a", "b", "idle"], object),
        np.array(["x", "y"], object),
        np.array([1, 0, 1, 1]),
        np.array([0, 1, 1, 0]),
        np.array([5.0, 9.0, 3.0, 5.0]),
        np.array([1.0, 2.0, 3.0, 4.0]),
        np.array([0, 1, 0, 1]),
        ("click", "buy"),
    )
    assert found.user.tolist() == [0, 1, 1, 1]
    assert found.item.tolist() == [1, 1, 0, 0]
    assert found.value.tolist() == [2, 3, 1, 4]
    assert found.event_type.tolist() == [1, 0, 0, 1]
    assert found.indptr.tolist() == [0, 1, 4, 4]
    kept = found.select(np.array([False, True, False, True]))
    assert kept.indptr.tolist() == [0, 0, 2, 2]
    assert kept.event_type.tolist() == [0, 1]


def test_a_history_from_columns_is_the_stored_one(tmp_path: Path) -> None:
    with SqliteStore(tmp_path / "genrec.db", create=True) as store:
        store.put_items([Item("x", "X", {"year": 1999.0}), Item("y", "Y")])
        store.append([Event("u", "y", 7.0, "buy"), Event("u", "x", 5.0, "watch", 4.0), Event("v", "x", 1.0)])
        log, items = store.interactions(), list(store.all_items())
        users = log.user_ids.tolist()
        for user in ("u", "v"):
            assert log.history(users.index(user), items) == store.history(user)
