import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genrec.data.interactions import Interactions
from genrec.data.splits import by_name, leave_one_out, temporal
from genrec.errors import DataError


def log_of(rows, users=None, items=None):
    """Interactions of (user, item, timestamp) in order of arrival."""
    user, item, timestamp = (np.array(column) for column in zip(*rows, strict=True))
    return Interactions.from_columns(
        np.array([f"u{n}" for n in range(users or user.max() + 1)], dtype=object),
        np.array([f"i{n}" for n in range(items or item.max() + 1)], dtype=object),
        user,
        item,
        timestamp.astype(float),
    )


def test_leave_one_out_holds_out_the_last_event():
    split = leave_one_out(log_of([(0, 1, 3), (0, 2, 1), (1, 0, 5), (1, 1, 6), (1, 2, 7), (2, 0, 1)]))
    assert split.users.tolist() == [0, 1]
    assert [target.tolist() for target in split.targets] == [[1], [2]]
    assert split.now.tolist() == [3.0, 7.0]
    assert split.train.user.tolist() == [0, 1, 1, 2]
    assert split.train.item.tolist() == [2, 0, 1, 0]
    assert split.train.indptr.tolist() == [0, 1, 3, 4]
    assert split.leaks


def test_the_last_of_tied_events_is_the_last_to_arrive():
    split = leave_one_out(log_of([(0, 3, 9), (0, 1, 9), (0, 2, 9)]))
    assert split.train.item.tolist() == [3, 1]
    assert split.targets[0].tolist() == [2]


def test_a_target_that_is_in_the_history_is_no_target():
    split = leave_one_out(log_of([(0, 1, 1), (0, 1, 2), (1, 0, 1), (1, 1, 2)]))
    assert split.users.tolist() == [1]
    assert len(split.train) == 2


def test_leave_one_out_of_lone_events_has_no_test_users():
    split = leave_one_out(log_of([(0, 0, 1), (1, 0, 1)]))
    assert len(split.users) == 0
    assert split.targets == ()
    assert len(split.train) == 2


def test_temporal_cuts_at_one_point_in_time_for_everyone():
    rows = [(0, item, item) for item in range(8)] + [(1, 0, 2), (1, 9, 9), (1, 0, 9.5), (2, 3, 9)]
    split = temporal(log_of(rows), test_fraction=0.25)
    # 12 events; the quantile .75 of their times, taken upwards, is 9 at place 9 (of 0 to 11).
    assert split.train.timestamp.max() == 7.0
    assert split.users.tolist() == [1]  # user 0 has nothing after the cut, user 2 nothing before
    assert split.targets[0].tolist() == [9]  # item 0 was seen before
    assert split.now.tolist() == [9.0]
    assert not split.leaks


def test_temporal_targets_are_distinct():
    rows = [(0, item, item) for item in range(10)] + [(0, 20, 100), (0, 20, 101), (0, 19, 102)]
    split = temporal(log_of(rows), test_fraction=0.2)
    assert [target.tolist() for target in split.targets] == [[19, 20]]


def test_temporal_refuses_what_it_cannot_cut():
    with pytest.raises(DataError, match="at least 10"):
        temporal(log_of([(0, 0, n) for n in range(9)]))
    with pytest.raises(DataError, match="same timestamp"):
        temporal(log_of([(0, n, 5) for n in range(20)]))


def test_a_split_of_the_training_part_is_the_validation():
    test = leave_one_out(log_of([(0, 1, 1), (0, 2, 2), (0, 3, 3), (1, 0, 1), (1, 2, 2)]))
    validation = leave_one_out(test.train)
    assert validation.users.tolist() == [0]
    assert [target.tolist() for target in validation.targets] == [[2]]
    assert validation.train.item.tolist() == [1, 0]
    assert validation.train.n_items == 4


def test_a_temporal_split_of_a_temporal_split_lies_before_it():
    outer = temporal(log_of([(n % 3, n, n) for n in range(100)]), 0.1)
    inner = temporal(outer.train, 0.1)
    assert outer.now.tolist() == [90.0] * 3  # place 89.1 of 0 to 99, taken upwards
    assert inner.now.tolist() == [81.0] * 3  # place 80.1 of 0 to 89
    assert len(inner.train) == 81


def test_restrict_keeps_the_order_of_the_split():
    split = leave_one_out(log_of([(user, item, item) for user in range(3) for item in range(2)]))
    few = split.restrict(["u2", "nobody", "u0"])
    assert few.users.tolist() == [0, 2]
    assert [target.tolist() for target in few.targets] == [[1], [1]]
    assert few.train is split.train
    assert len(split.restrict([]).users) == 0


def test_splits_have_names():
    log = log_of([(0, n, n) for n in range(20)])
    assert by_name("temporal", log).name == "temporal"
    assert by_name("leave-one-out", log).name == "leave-one-out"
    with pytest.raises(DataError, match="no split"):
        by_name("random", log)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 9), st.integers(0, 20)), min_size=10, max_size=60))
def test_nothing_of_the_test_part_is_in_the_training_part(rows):
    log = log_of(rows, users=5, items=10)
    split = leave_one_out(log)
    assert len(split.train) == len(log) - int((np.diff(log.indptr) >= 2).sum())
    for user, target in zip(split.users, split.targets, strict=True):
        assert not set(target) & set(split.train.item[split.train.rows_of(user)])
    if len({at for _, _, at in rows}) > 1:
        try:
            split = temporal(log)
        except DataError:  # everything but the tail has one timestamp
            return
        assert len(split.users) == 0 or split.train.timestamp.max() < split.now.min()
