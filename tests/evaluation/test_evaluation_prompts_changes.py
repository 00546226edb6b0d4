"""What an edit does to the order, by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genrec.errors import DataError
from genrec.evaluation.templates.changes import Mover, rank_changes

ORDERS = st.lists(st.permutations(list("abcdef")), min_size=1, max_size=6)


def test_by_hand():
    # User 1: b and a change places (5 of 6 pairs agree: tau 4/6). User 2: nothing changes.
    found = rank_changes([list("abcd"), list("wxyz")], [list("bacd"), list("wxyz")], k=1)
    assert found.tau == pytest.approx((4 / 6 + 1) / 2, abs=1e-6)
    assert found.tau_ci is not None
    assert found.tau_ci[0] <= found.tau <= found.tau_ci[1]
    assert (found.users, found.top_1, found.top_k, found.replaced) == (2, 0.5, 0.5, 0.5)
    assert found.movers == (Mover("a", 1, -1.0), Mover("b", 1, 1.0))
    wide = rank_changes([list("abcd")], [list("bacd")], k=2)
    assert (wide.top_1, wide.top_k, wide.replaced) == (1.0, 0.0, 0.0)
    half = rank_changes([list("abcd")], [list("acbd")], k=2)
    assert (half.top_1, half.top_k, half.replaced) == (0.0, 1.0, 0.5)


def test_movers_are_what_moves_one_way_everywhere():
    before = [list("abc")] * 3
    after = [list("cab"), list("cab"), list("bac")]
    found = rank_changes(before, after)
    assert found.movers[0] == Mover("c", 3, pytest.approx(4 / 3, abs=0.01))
    assert Mover("a", 3, -1.0) in found.movers


@given(ORDERS)
def test_the_same_order_is_no_change(orders):
    found = rank_changes(orders, orders)
    assert (found.tau, found.top_1, found.top_k, found.replaced, found.movers) == (1.0, 0.0, 0.0, 0.0, ())


@given(ORDERS)
def test_a_reversal_is_the_opposite(orders):
    found = rank_changes(orders, [order[::-1] for order in orders], k=6)
    assert (found.tau, found.top_1, found.replaced) == (-1.0, 1.0, 0.0)


def test_empty_slates_are_left_out():
    assert rank_changes([[], ["a", "b"]], [[], ["a", "b"]]).users == 1
    with pytest.raises(DataError, match="no user has anything to rank"):
        rank_changes([[]], [[]])
