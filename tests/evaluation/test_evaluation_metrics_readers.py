"""Metrics of clicks within users, and of what a model makes of its slates."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genrec.evaluation.lists import Lists
from genrec.evaluation.metrics import auc, grouped_auc
from genrec.evaluation.suite import position
from genrec.evaluation.validity import Wrong, agreement, validity
from genrec.reranking.validity import Validity


def test_grouped_auc_by_hand():
    # User 3: one of two pairs ordered rightly. User 8: one pair, tied. User 5: no click.
    user = np.array([3, 8, 3, 5, 3, 8, 5])
    clicked = np.array([1.0, 1, 0, 0, 0, 0, 0])
    p_click = np.array([0.5, 0.2, 0.4, 0.1, 0.6, 0.2, 0.9])
    values, rows = grouped_auc.by_user(user, clicked, p_click)
    assert values == pytest.approx([0.5, math.nan, 0.5], nan_ok=True)
    assert rows.tolist() == [3, 2, 2]
    better = np.where(user == 3, [0.9, 0, 0.4, 0, 0.6, 0, 0], p_click)
    assert grouped_auc.over_rows(user, clicked, better) == pytest.approx((3 * 1 + 2 * 0.5) / 5)


def test_grouped_auc_gives_nothing_for_knowing_who_clicks_much():
    user, clicked = np.repeat([0, 1], 4), np.array([1.0, 1, 1, 0, 1, 0, 0, 0])
    by_user = np.repeat([0.75, 0.25], 4)
    assert auc.over_rows(user, clicked, by_user) > 0.5
    assert grouped_auc.over_rows(user, clicked, by_user) == 0.5


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans(), st.integers(0, 4)), max_size=40))
def test_grouped_auc_is_the_auc_of_each_user(rows):
    user, clicked, p_click = (np.array([row[column] for row in rows], dtype=float) for column in range(3))
    expected = []
    for one in np.unique(user):
        mine = user == one
        above = p_click[mine & (clicked == 1)][:, None] - p_click[mine & (clicked == 0)]
        expected.append(((above > 0) + (above == 0) / 2).mean() if above.size else math.nan)
    values, counts = grouped_auc.by_user(user.astype(int), clicked, p_click)
    assert values == pytest.approx(expected, nan_ok=True)
    known = np.isfinite(values)
    mean = np.average(values[known], weights=counts[known]) if known.any() else math.nan
    found = grouped_auc.over_rows(user.astype(int), clicked, p_click)
    assert found == pytest.approx(mean, nan_ok=True)


def test_a_user_drawn_twice_counts_twice_in_grouped_auc():
    user, clicked = np.array([0, 0, 0, 1, 1]), np.array([1.0, 0, 0, 1, 0])
    p_click, twice = np.array([0.5, 0.6, 0.1, 0.9, 0.2]), np.array([0, 1, 2, 0, 1, 2, 3, 4])
    assert grouped_auc.over_rows(user, clicked, p_click) == pytest.approx((3 * 0.5 + 2 * 1) / 5)
    drawn = grouped_auc.over_rows(user[twice], clicked[twice], p_click[twice])
    assert drawn == pytest.approx((6 * 0.5 + 2 * 1) / 8)


def test_gain_by_label_by_hand():
    presented = np.array([[5, 6, 7], [6, 5, 7], [7, 6, 5], [5, 6, -1]], dtype=np.int32)
    ranked = np.array([[5, 6, 7], [6, 5, 7], [7, 6, 5], [6, 5, -1]], dtype=np.int32)
    targets = [np.array([5]), np.array([5, 6]), np.array([5]), np.array([9])]
    gain, relevant = position.by_label(presented, Lists(ranked, targets, 2))
    # Label 1: item 5 at place 1, item 6 at place 1. Label 2: item 5 at place 2. Label 3: item 5 beyond place 2.
    assert gain == pytest.approx([1, 1 / math.log2(3), 0])
    assert relevant.tolist() == [2, 1, 1]
    assert position.deviation(gain) == pytest.approx(np.std([1, 1 / math.log2(3), 0], ddof=1))


def test_a_reader_of_items_has_no_label_bias_and_a_reader_of_labels_has():
    generator = np.random.default_rng(0)
    presented = np.array([generator.permutation(5) for _ in range(4000)], dtype=np.int32)
    targets = [np.array([2], dtype=np.int32)] * 4000
    fair = np.array([generator.permutation(5) for _ in range(4000)], dtype=np.int32)
    of_items, of_labels = (position.by_label(presented, Lists(ranked, targets, 5))[0] for ranked in (fair, presented))
    assert position.deviation(of_items) < 0.03
    assert of_labels == pytest.approx(1 / np.log2(np.arange(2, 7)))


def test_labels_without_relevant_items_say_nothing():
    gain, _ = position.by_label(np.array([[1, 2]]), Lists(np.array([[2, 1]]), [np.array([2])], 2))
    assert gain == pytest.approx([math.nan, 1], nan_ok=True)
    assert math.isnan(position.deviation(gain))
    nothing, _ = position.by_label(np.zeros((0, 2), int), Lists(np.zeros((0, 2), int), [], 2))
    assert np.isnan(nothing).all()


def test_the_effect_of_shuffling_is_a_share_of_the_retrievers_order():
    retriever = np.array([0.2, 0.4, 0.6])
    found = position.shuffle_effect(retriever * 0.99, retriever)
    assert found.mean == pytest.approx(-0.01)
    assert found.low < -0.01 < found.high < 0
    assert math.isnan(position.shuffle_effect(retriever, np.zeros(3)).mean)


def test_validity_by_hand():
    wrong = [Wrong.of(Validity(("x", "y"), ("a",), ("b",))), Wrong.of(Validity(missing=("c", "d"))), Wrong()]
    assert validity(wrong, 3) == {"rankings": 3, "invalid": 2, "duplicate": 1, "missing": 3}
    assert validity([], 0) == {"rankings": 0, "invalid": 0, "duplicate": 0, "missing": 0}


def test_agreement_is_the_mean_where_it_is_defined():
    assert agreement([1.0, None, -0.5]) == {"mean_tau": 0.25, "users": 2}
    assert agreement([None]) == {"mean_tau": None, "users": 0}
