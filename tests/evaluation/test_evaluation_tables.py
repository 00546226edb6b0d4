"""Tables of systems: means, intervals and paired differences."""

import numpy as np
import pytest

from genrec.evaluation.tables import definitions, ranking_table, value_table

TARGETS = [np.array([user % 5], dtype=np.int32) for user in range(60)]
FIRST = np.array([[target[0], 9] for target in TARGETS], dtype=np.int32)
SECOND = FIRST[:, ::-1].copy()


def test_means_intervals_and_differences_to_the_baseline():
    columns = [("ndcg", 10), ("hr", 1)]
    table = ranking_table({"second": SECOND, "first": FIRST}, TARGETS, columns, comparisons=[("first", "second")])
    assert table["first"]["ndcg@10"] == 1
    assert table["first"]["ndcg@10_ci"] == [1, 1]
    assert table["second"]["ndcg@10"] == pytest.approx(1 / np.log2(3), abs=1e-6)
    gain = table["first"]["ndcg@10_vs_second"]
    assert gain["mean"] == gain["low"] == gain["high"] == pytest.approx(1 - 1 / np.log2(3), abs=1e-6)
    assert gain["p"] < 0.01
    assert table["first"]["hr@1_vs_second"]["mean"] == 1
    assert not any("_vs_" in key for key in table["second"])


def test_a_system_does_not_change_what_is_said_of_another():
    alone = ranking_table({"first": FIRST[:30]}, TARGETS[30:], [("ndcg", 10)])
    beside = ranking_table({"second": SECOND[:30], "first": FIRST[:30]}, TARGETS[30:], [("ndcg", 10)])
    assert alone["first"] == beside["first"]


def test_no_users_give_no_values():
    table = value_table({"a": np.zeros((0, 1)), "b": np.zeros((0, 1))}, ["ndcg@10"], [("b", "a")])
    assert table == {name: {"ndcg@10": None, "ndcg@10_ci": None} for name in ("a", "b")}


def test_definitions_are_given_once_for_each_metric():
    assert list(definitions([("hr", 10), ("hr", 20), ("mrr", 10)])) == ["hr", "mrr"]
