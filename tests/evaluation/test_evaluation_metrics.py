"""Metrics against values computed by hand, and against ir-measures on random lists."""

import math
from itertools import pairwise

import ir_measures
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ir_measures import AP, RR, R, Success, nDCG

from genrec.evaluation import metrics
from genrec.evaluation.lists import Lists, hits

# Three users: hits at places 2 and 3 of 4 (three relevant), no hit, a hit at place 1 of a list that ends early.
RANKED = np.array([[4, 7, 2, 9], [1, 2, 3, 4], [5, -1, -1, -1]], dtype=np.int32)
TARGETS = [np.array([2, 7, 8], dtype=np.int32), np.array([6], dtype=np.int32), np.array([5], dtype=np.int32)]
LOG3 = 1 / math.log2(3)

BY_HAND = {
    ("hr", 1): [0, 0, 1],
    ("hr", 2): [1, 0, 1],
    ("recall", 2): [1 / 3, 0, 1],
    ("recall", 4): [2 / 3, 0, 1],
    ("mrr", 1): [0, 0, 1],
    ("mrr", 4): [1 / 2, 0, 1],
    ("map", 2): [1 / 2 / 3, 0, 1],
    ("map", 4): [(1 / 2 + 2 / 3) / 3, 0, 1],
    ("ndcg", 2): [LOG3 / (1 + LOG3), 0, 1],
    ("ndcg", 4): [(LOG3 + 0.5) / (1 + LOG3 + 0.5), 0, 1],
    ("ndcg", 10): [(LOG3 + 0.5) / (1 + LOG3 + 0.5), 0, 1],
}
IN_IR_MEASURES = {"hr": Success, "recall": R, "mrr": RR, "map": AP, "ndcg": nDCG}
RANKING = [name for name in metrics.names("user") if metrics.reads(name) == "targets"]


def per_user(name, ranked, targets, k):
    return metrics.metric(name).per_user(Lists(ranked, targets, k))


@pytest.mark.parametrize(("name", "k"), BY_HAND)
def test_values_computed_by_hand(name, k):
    assert per_user(name, RANKED, TARGETS, k) == pytest.approx(BY_HAND[name, k])


def test_every_ranking_metric_is_checked_by_hand_and_against_ir_measures():
    assert {name for name, _ in BY_HAND} == set(RANKING) == set(IN_IR_MEASURES)


@st.composite
def ranked_lists(draw):
    """Ranked lists of up to 8 of 12 items for some users, padded, each with at least one relevant item."""
    n_users = draw(st.integers(1, 4))
    lists = [draw(st.lists(st.integers(0, 11), max_size=8, unique=True)) for _ in range(n_users)]
    targets = [draw(st.lists(st.integers(0, 11), min_size=1, max_size=6, unique=True)) for _ in range(n_users)]
    ranked = np.full((n_users, 8), -1, dtype=np.int32)
    for row, items in enumerate(lists):
        ranked[row, : len(items)] = items
    return ranked, [np.array(target, dtype=np.int32) for target in targets]


@pytest.mark.parametrize("name", RANKING)
@given(lists=ranked_lists(), k=st.integers(1, 10))
def test_agrees_with_ir_measures(name, lists, k):
    ranked, targets = lists
    judged = {str(user): {str(item): 1 for item in target} for user, target in enumerate(targets)}
    run = {
        str(user): {str(item): float(-place) for place, item in enumerate(row) if item >= 0}
        for user, row in enumerate(ranked)
    }
    measure = IN_IR_MEASURES[name] @ k
    expected = {result.query_id: result.value for result in ir_measures.iter_calc([measure], judged, run)}
    values = per_user(name, ranked, targets, k)
    assert values.dtype == np.float64
    assert values == pytest.approx([expected.get(str(user), 0.0) for user in range(len(targets))])


@pytest.mark.parametrize("name", RANKING)
@given(lists=ranked_lists())
def test_lies_between_0_and_1_and_is_1_for_the_ideal_list(name, lists):
    ranked, targets = lists
    values = per_user(name, ranked, targets, 5)
    assert ((values >= 0) & (values <= 1)).all()
    ideal = np.full((len(targets), 6), -1, dtype=np.int32)
    for row, target in enumerate(targets):
        ideal[row, : len(target)] = target
    assert per_user(name, ideal, targets, 6) == pytest.approx(np.ones(len(targets)))


@pytest.mark.parametrize("name", RANKING)
@given(lists=ranked_lists())
def test_only_ndcg_may_fall_as_k_grows(name, lists):
    ranked, targets = lists
    values = [per_user(name, ranked, targets, k) for k in range(1, 9)]
    if name != "ndcg":
        assert all((later >= earlier - 1e-12).all() for earlier, later in pairwise(values))
    single = [target[:1] for target in targets]
    values = [per_user(name, ranked, single, k) for k in range(1, 9)]
    assert all((later >= earlier - 1e-12).all() for earlier, later in pairwise(values))


@pytest.mark.parametrize("name", RANKING)
def test_users_without_relevant_items_and_empty_lists_count_0(name):
    nothing = np.array([], dtype=np.int32)
    assert per_user(name, RANKED, [nothing, nothing, nothing], 3).tolist() == [0, 0, 0]
    assert per_user(name, RANKED, [nothing, *TARGETS[1:]], 3).tolist() == [0, 0, 1]
    assert per_user(name, np.zeros((3, 0), dtype=np.int32), TARGETS, 3).tolist() == [0, 0, 0]
    assert per_user(name, np.zeros((0, 4), dtype=np.int32), [], 3).tolist() == []


def test_padding_is_never_a_hit():
    assert not hits(np.array([[-1, -1]]), [np.array([0])]).any()
    assert not hits(np.array([[-1, -1]]), [np.array([0, 1])]).any()


def test_click_metrics_by_hand():
    rows = np.array([3, 3, 1, 2]), np.array([1.0, 0, 1, 0]), np.array([0.8, 0.5, 0.5, 0.1])
    assert metrics.metric("auc").over_rows(*rows) == pytest.approx(3.5 / 4)
    losses = [-math.log(0.8), -math.log(0.5), -math.log(0.5), -math.log(0.9)]
    assert metrics.metric("log_loss").over_rows(*rows) == pytest.approx(sum(losses) / 4)
    # Four rows make four bins of one row each; the two of equal probability share their mean label.
    assert metrics.metric("calibration_error").over_rows(*rows) == pytest.approx((0.2 + 0 + 0 + 0.1) / 4)
