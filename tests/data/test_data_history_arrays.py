import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from genrec.data.histories import HistoryArrays, HistoryBatch, as_of
from genrec.data.interactions import Interactions

EVENTS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(0, 6)), min_size=1, max_size=30)


def log_of(events):
    user, item, time = (np.array(column) for column in zip(*events, strict=True))
    ids = np.array([str(n) for n in range(6)], dtype=object)
    return Interactions.from_columns(ids[:4], ids, user, item, time.astype(float), item + 0.5)


@given(EVENTS, st.integers(-1, 3), st.integers(-1, 8), st.integers(1, 5))
def test_as_of_is_what_the_user_did_strictly_before(events, user, now, length):
    log = log_of(events)
    h = as_of(log, np.array([user], dtype=np.int32), np.array([float(now)]), length)
    own = [row for row in range(len(log)) if log.user[row] == user and log.timestamp[row] < now]
    own = own[-length:]
    assert h.item[0][h.mask[0]].tolist() == log.item[own].tolist()
    assert h.timestamp[0][h.mask[0]].tolist() == log.timestamp[own].tolist()
    assert h.value[0][h.mask[0]].tolist() == log.value[own].tolist()
    assert h.mask[0].tolist() == [False] * (length - len(own)) + [True] * len(own)


def test_as_of_an_empty_log_is_empty():
    log = log_of([(0, 0, 0)]).select(np.array([False]))
    h = as_of(log, np.array([0, -1], dtype=np.int32), np.array([5.0, 5.0]), 3)
    assert not h.mask.any()
    assert h.item.shape == (2, 3)


def test_a_batch_keeps_the_newest_right_aligned():
    three = HistoryArrays(
        np.array([4, 5, 6], dtype=np.int32), np.array([1.0, 2.0, 3.0]), np.array([1.0, np.nan, 3.0]), 9.0
    )
    one = HistoryArrays(np.array([4], dtype=np.int32), np.array([1.0]), np.array([1.0]), 8.0)
    h = HistoryBatch.of([three, one], 2)
    assert h.item.tolist() == [[5, 6], [0, 4]]
    assert h.timestamp[0].tolist() == [2, 3]
    assert np.isnan(h.value[0, 0])
    assert h.mask.tolist() == [[True, True], [False, True]]
    assert h.now.tolist() == [9, 8]


def test_histories_are_joined_and_taken_in_order():
    one, two = (
        HistoryBatch.of([HistoryArrays(np.array([n], dtype=np.int32), np.array([n]), np.array([n]), 4.0 + n)], 2)
        for n in (1, 2)
    )
    both = HistoryBatch.joined([one, two])
    assert both.now.tolist() == [5, 6]
    assert both.take(np.array([1])).item.tolist() == two.item.tolist()
