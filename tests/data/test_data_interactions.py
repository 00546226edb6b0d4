import numpy as np

from genrec.data.interactions import Interactions


def _log():
    return Interactions.from_columns(
        np.array(["u", "v", "w"], dtype=object),
        np.array(["a", "b"], dtype=object),
        np.array([2, 0, 2, 0, 2]),
        np.array([0, 1, 1, 0, 0]),
        np.array([5.0, 1.0, 5.0, 0.5, 4.0]),
        np.array([1.0, 2.0, 3.0, 4.0, 5.0]),
    )


def test_rows_are_sorted_stably_by_user_and_time():
    log = _log()
    assert log.user.tolist() == [0, 0, 2, 2, 2]
    assert log.item.tolist() == [0, 1, 0, 0, 1]
    assert log.value.tolist() == [4.0, 2.0, 5.0, 1.0, 3.0]
    assert log.indptr.tolist() == [0, 2, 2, 5]
    assert (log.n_users, log.n_items, len(log)) == (3, 2, 5)
    assert log.rows_of(1) == slice(2, 2)


def test_select_keeps_users_and_items():
    part = _log().select(np.array([True, False, False, True, True]))
    assert part.user.tolist() == [0, 2, 2]
    assert part.value.tolist() == [4.0, 1.0, 3.0]
    assert part.indptr.tolist() == [0, 1, 1, 3]
    assert part.n_users == 3


def test_values_are_missing_unless_given():
    log = Interactions.from_columns(
        np.array(["u"], object), np.array(["a"], object), np.array([0]), np.array([0]), np.array([1])
    )
    assert np.isnan(log.value).all()
    assert (log.user.dtype, log.timestamp.dtype) == (np.int32, np.float64)
