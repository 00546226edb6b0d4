import numpy as np

from genrec.clicks import labels
from genrec.clicks.labels import NEGATIVES, event_labels, labelled
from genrec.data.interactions import Interactions
from genrec.data.store import Exposure


def log_of(values, users=2, items=4):
    n = len(values)
    ids = np.array([str(number) for number in range(max(users, items))], dtype=object)
    return Interactions.from_columns(
        ids[:users], ids[:items], np.arange(n) % users, np.arange(n) % items, np.arange(n, 0, -1.0), np.array(values)
    )


def test_ratings_are_labels_in_order_of_time():
    rows = labelled(log_of([5.0, 3.9, 4.0, np.nan]), liked=4.0)
    assert rows.kind == "ratings"
    assert rows.now.tolist() == [2, 3, 4]
    assert rows.label.tolist() == [1, 0, 1]
    assert rows.item.tolist() == [2, 1, 0]


def test_a_log_without_values_has_sampled_negatives():
    rows = labelled(log_of([np.nan] * 40, users=20, items=4), liked=4.0)
    assert rows.kind == "sampled"
    assert rows.label.sum() == 40
    assert 0 < (rows.label == 0).sum() <= 40 * NEGATIVES


def test_sampled_negatives_are_items_that_the_user_never_touched():
    log = log_of([np.nan] * 40, users=20, items=4)
    rows = labelled(log, liked=4.0)
    done = set(zip(log.user.tolist(), log.item.tolist(), strict=True))
    negative = rows.label == 0
    assert not done & set(zip(rows.user[negative].tolist(), rows.item[negative].tolist(), strict=True))


def test_negatives_of_held_out_events_respect_what_is_known():
    log = log_of([np.nan] * 40, users=20, items=4)
    later = log.select(np.arange(40) >= 38)
    rows = labelled(later, liked=4.0, known=log)
    done = set(zip(log.user.tolist(), log.item.tolist(), strict=True))
    negative = rows.label == 0
    assert not done & set(zip(rows.user[negative].tolist(), rows.item[negative].tolist(), strict=True))


def test_sampled_negatives_follow_popularity():
    rng = np.random.default_rng(0)
    item = rng.choice(3, 3000, p=[0.6, 0.3, 0.1])
    ids = np.array([str(number) for number in range(3000)], dtype=object)
    log = Interactions.from_columns(ids, ids[:3], np.arange(3000), item, np.arange(3000.0))
    # Each user has one event, so that a negative of an item can only be drawn for those who have another.
    negative = labelled(log, liked=4.0).item[labelled(log, liked=4.0).label == 0]
    share = np.bincount(negative, minlength=3) / len(negative)
    expected = np.array([0.6 * 0.4, 0.3 * 0.7, 0.1 * 0.9])
    np.testing.assert_allclose(share, expected / expected.sum(), atol=0.02)


def test_only_liked_ratings_are_sampled_against():
    assert labelled(log_of([5.0, 4.0, 5.0, 4.5]), liked=4.0).kind == "sampled"


def test_exposures_are_labels_once_enough_was_clicked(monkeypatch):
    monkeypatch.setattr(labels, "ENOUGH_CLICKS", 2)
    shown = [
        (Exposure("a", "1", ("0", "2", "gone"), 7.0), {"2"}),
        (Exposure("b", None, ("1",), 6.0), {"1"}),
    ]
    rows = labelled(log_of([5.0, 1.0]), liked=4.0, exposures=shown)
    assert rows.kind == "exposures"
    assert rows.user.tolist() == [-1, 1, 1]
    assert rows.item.tolist() == [1, 0, 2]
    assert rows.label.tolist() == [1, 0, 1]
    few = labelled(log_of([5.0, 1.0]), liked=4.0, exposures=shown[:1])
    assert few.kind == "ratings"


def test_an_empty_log_has_no_rows():
    log = log_of([5.0]).select(np.array([False]))
    assert len(labelled(log, liked=4.0)) == 0


def test_an_event_without_a_value_counts_as_liked():
    assert event_labels(np.array([[np.nan, 3.0], [4.0, 5.0]]), 4.0).tolist() == [[1, 0], [1, 1]]
