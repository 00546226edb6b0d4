"""Splits for what is new: nothing of a cold user is fitted on, and cold items are those that training hardly has."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genrec.data.cold_splits import NAMES, held_out, hours, request_times
from genrec.data.interactions import Interactions
from genrec.data.splits import by_name
from genrec.errors import DataError

DAY = 86_400.0
START = 1_000_000_000.0 - 1_000_000_000.0 % DAY


def log(*events, n_users=4, n_items=6, start=START):
    """Events (user, item, time)."""
    user, item, time = (np.array(column) for column in zip(*events, strict=True))
    users = np.array([f"u{number}" for number in range(n_users)], dtype=object)
    items = np.array([f"i{number}" for number in range(n_items)], dtype=object)
    return Interactions.from_columns(users, items, user, item, start + time.astype(float))


# The latest tenth of 20 events is what happens from time 90 on: users 2 and 3 are new, user 0 returns.
EVENTS = [
    *((0, item, time) for time, item in enumerate([0, 1, 2, 0, 1, 2, 0, 1, 2])),
    *((1, item, 10 + time) for time, item in enumerate([0, 1, 2, 0, 1, 2, 0, 1, 3])),
    (2, 0, 90),
    (2, 4, 91),
]


def rows(interactions, user):
    return list(interactions.item[interactions.rows_of(user)])


def test_cold_users_are_those_without_training_events_and_bring_their_history_along():
    held = held_out("cold-users", log(*EVENTS))
    assert list(held.split.users) == [2]
    assert [list(target) for target in held.split.targets] == [[4]]
    assert rows(held.split.train, 2) == [0]
    assert rows(held.fit_on, 2) == []
    assert held.split.now.tolist() == [START + 91]
    assert not held.split.leaks
    assert held.trained_on == "temporal"


def test_cold_users_may_have_a_few_events():
    returning = [*EVENTS[:18], (0, 5, 90), (1, 4, 91)]
    assert not len(held_out("cold-users", log(*returning)).split.users)
    held = held_out("cold-users", log(*returning), at_most=9)
    assert list(held.split.users) == [0, 1]
    assert rows(held.split.train, 0) == rows(held.fit_on, 0) == [0, 1, 2, 0, 1, 2, 0, 1, 2]


def test_what_a_cold_user_had_before_is_not_to_be_found():
    again = [*EVENTS[:19], (2, 0, 91)]
    assert not len(held_out("cold-users", log(*again)).split.users)


def test_cold_items_are_targets_with_few_training_events():
    events = [*EVENTS[:18], (0, 3, 90), (0, 5, 91)]
    plain = by_name("temporal", log(*events))
    assert [list(target) for target in plain.targets] == [[3, 5]]
    none = held_out("cold-items", log(*events), at_most=0)
    few = held_out("cold-items", log(*events), at_most=1)
    assert [list(target) for target in none.split.targets] == [[5]]
    assert [list(target) for target in few.split.targets] == [[3, 5]]
    assert len(none.fit_on) == len(plain.train)
    assert none.trained_on == "temporal"
    assert not len(held_out("cold-items", log(*EVENTS[:18], (0, 3, 90), (1, 0, 91)), at_most=0).split.users)


def test_cold_users_of_a_log_without_a_clock_are_a_fifth_of_all():
    events = [(user, item, item) for user in range(200) for item in range(3)]
    held = held_out("cold-users", log(*events, n_users=200, start=0.0), of="leave-one-out")
    assert 20 < len(held.split.users) < 60
    assert held.split.leaks
    assert held.trained_on is None
    for user, target in zip(held.split.users, held.split.targets, strict=True):
        assert rows(held.fit_on, user) == []
        assert rows(held.split.train, user) == [0, 1]
        assert list(target) == [2]
    assert len(held.fit_on) == 3 * (200 - len(held.split.users))


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 7), st.integers(0, 30)), min_size=10, max_size=60))
def test_whatever_is_held_out_is_neither_known_nor_fitted_on(events):
    interactions = log(*events, n_users=6, n_items=8)
    for name in NAMES:
        for of in ("temporal", "leave-one-out"):
            try:
                held = held_out(name, interactions, of=of)
            except DataError:
                continue
            split = held.split
            assert len(held.fit_on) <= len(split.train) <= len(interactions)
            for user, target, now in zip(split.users, split.targets, split.now, strict=True):
                known = split.train.rows_of(int(user))
                assert len(target)
                assert not set(target) & set(split.train.item[known])
                assert not set(target) & set(held.fit_on.item[held.fit_on.rows_of(int(user))])
                assert (split.train.timestamp[known] <= now).all()


def test_plain_splits_are_fitted_on_what_is_known():
    held = held_out("temporal", log(*EVENTS))
    assert held.fit_on is held.split.train
    assert held.validation == held.trained_on == "temporal"


def test_an_unknown_split_is_named_with_those_there_are():
    with pytest.raises(DataError, match="there is no split 'random'") as caught:
        held_out("random", log(*EVENTS))
    assert "cold-users" in caught.value.hint


def test_requests_have_the_time_of_what_was_done_next():
    events = [*EVENTS[:18], (0, 3, 10 * 3600), (0, 5, 11 * 3600)]
    interactions = log(*events)
    split = by_name("temporal", interactions)
    times = request_times(interactions, split)
    assert times.tolist() == [START + 10 * 3600]
    assert hours(times).tolist() == [10]
    assert request_times(log(*events, start=0.0), split) is None
