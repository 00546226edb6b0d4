import numpy as np
import pytest

from genrec.data import labels
from genrec.data.interactions import Interactions
from genrec.data.labels import event_labels, rated_rows, shown_rows
from genrec.data.store import Exposure


def log_of(values, users=2, items=4):
    n = len(values)
    ids = np.array([str(number) for number in range(max(users, items))], dtype=object)
    return Interactions.from_columns(
        ids[:users], ids[:items], np.arange(n) % users, np.arange(n) % items, np.arange(n, 0, -1.0), np.array(values)
    )


def test_ratings_are_labels_in_order_of_time():
    rows = rated_rows(log_of([5.0, 3.9, 4.0, np.nan]), liked=4.0)
    assert rows.now.tolist() == [2, 3, 4]
    assert rows.label.tolist() == [1, 0, 1]
    assert rows.item.tolist() == [2, 1, 0]


@pytest.mark.parametrize("values", [[np.nan] * 4, [5.0, 4.0, 5.0, 4.5], [1.0, 2.0], [5.0, 1.0, np.nan, np.nan, np.nan]])
def test_a_log_that_is_not_rated_both_ways_has_no_rated_rows(values):
    assert len(rated_rows(log_of(values), liked=4.0)) == 0


def test_exposures_are_labels_once_enough_was_clicked(monkeypatch):
    monkeypatch.setattr(labels, "ENOUGH_CLICKS", 2)
    shown = [
        (Exposure("a", "1", ("0", "2", "gone"), 7.0), {"2"}),
        (Exposure("b", None, ("1",), 6.0), {"1"}),
    ]
    rows = shown_rows(log_of([5.0, 1.0]), shown)
    assert rows.user.tolist() == [-1, 1, 1]
    assert rows.item.tolist() == [1, 0, 2]
    assert rows.label.tolist() == [1, 0, 1]
    assert len(shown_rows(log_of([5.0, 1.0]), shown[:1])) == 0
    assert len(shown_rows(log_of([5.0, 1.0]), [])) == 0


def test_an_empty_log_has_no_rows():
    log = log_of([5.0]).select(np.array([False]))
    assert len(rated_rows(log, liked=4.0)) == 0


def test_an_event_without_a_value_counts_as_liked():
    assert event_labels(np.array([[np.nan, 3.0], [4.0, 5.0]]), 4.0).tolist() == [[1, 0], [1, 1]]
