"""Tables of systems: means, intervals and paired differences."""

import numpy as np
import pytest

from genrec.errors import NotFoundError, SettingsError
from genrec.evaluation import metrics, significance
from genrec.evaluation.catalogue import CatalogueFacts
from genrec.evaluation.lists import Lists
from genrec.evaluation.tables import adjust, columns_of, definitions, ranking_table, value_table

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


FACTS = CatalogueFacts(
    item_users=np.arange(10, dtype=np.int32),
    n_users=10,
    histories=(np.array([8], dtype=np.int32),) * 60,
    item_group=np.zeros(10, dtype=np.int32),
    user_group=np.arange(60, dtype=np.int32) % 2,
    user_groups=("even", "odd"),
)
EVERY_KIND = [("coverage", 1), ("ndcg", 10), ("novelty", 2), ("gini", 2), ("user_gap", 2)]


def test_metrics_of_every_kind_stand_side_by_side_in_the_order_asked_for():
    table = ranking_table({"second": SECOND, "first": FIRST}, TARGETS, EVERY_KIND, facts=FACTS)
    names = ["coverage@1", "ndcg@10", "novelty@2", "gini@2", "user_gap@2"]
    assert list(table["first"]) == [key for name in names for key in (name, f"{name}_ci")]
    assert table["first"]["coverage@1"] == 5 / 10
    assert table["second"]["coverage@1"] == 1 / 10
    novelty = metrics.metric("novelty").per_user(Lists(FIRST, TARGETS, 2, FACTS))
    assert table["first"]["novelty@2"] == pytest.approx(novelty.mean(), abs=1e-6)
    assert table["first"]["ndcg@10_ci"] == [1, 1]
    for name in names:
        low, high = table["first"][f"{name}_ci"]
        assert low <= table["first"][name] <= high


def test_differences_say_what_could_have_been_seen():
    values = np.random.default_rng(0).normal(size=(400, 2))
    table = value_table({"a": values[:, :1], "b": values[:, 1:]}, ["x"], [("b", "a")])
    gain = table["b"]["x_vs_a"]
    deltas = values[:, 1] - values[:, 0]
    assert gain["mdd"] == pytest.approx(2.8016 * deltas.std() / 20, rel=0.06)
    assert gain["users_needed"] == pytest.approx(400 * (gain["mdd"] / gain["mean"]) ** 2, rel=0.01)


def test_set_metrics_are_compared_by_the_same_users():
    systems = {"first": FIRST, "same": FIRST.copy(), "second": SECOND}
    table = ranking_table(
        systems, TARGETS, EVERY_KIND, facts=FACTS, comparisons=[("same", "first"), ("second", "first")]
    )
    same, other = table["same"]["coverage@1_vs_first"], table["second"]["coverage@1_vs_first"]
    assert same["mean"] == same["low"] == same["high"] == 0
    assert same["p"] == 1
    assert other["mean"] == pytest.approx(-0.4)
    assert other["p"] < 0.01


def test_p_is_adjusted_for_the_comparisons_of_the_same_column():
    generator = np.random.default_rng(1)
    base = generator.normal(size=(200, 2))
    values = {"base": base} | {f"s{n}": base + generator.normal(0.05 * n, 1, size=(200, 2)) for n in range(3)}
    table = value_table(values, ["x", "y"], [(f"s{n}", "base") for n in range(3)])
    for column in ("x", "y"):
        found = [table[f"s{n}"][f"{column}_vs_base"] for n in range(3)]
        assert [one["p_holm"] for one in found] == pytest.approx(significance.holm([one["p"] for one in found]))
    alone = value_table({"base": base, "s2": values["s2"]}, ["x"], [("s2", "base")])["s2"]["x_vs_base"]
    assert alone["p_holm"] == alone["p"] == table["s2"]["x_vs_base"]["p"]


def test_any_table_can_be_adjusted():
    table = {"a": {"auc": 0.6, "auc_vs_c": {"p": 0.01}}, "b": {"auc_vs_c": {"p": 0.03}, "loss_vs_c": {"p": 0.03}}}
    assert adjust(table)["a"]["auc_vs_c"]["p_holm"] == 0.02
    assert table["b"]["auc_vs_c"]["p_holm"] == table["b"]["loss_vs_c"]["p_holm"] == 0.03


def test_seeds_are_averaged_and_their_spread_is_told():
    runs = np.stack([FIRST, SECOND])
    table = ranking_table({"runs": runs, "first": FIRST}, TARGETS, [("hr", 1), ("coverage", 1)], facts=FACTS)
    assert table["runs"]["hr@1"] == 0.5
    assert table["runs"]["hr@1_ci"] == [0.5, 0.5]
    assert table["runs"]["hr@1_seeds"] == {"sd": pytest.approx(np.sqrt(0.5), abs=1e-6), "values": [1, 0]}
    assert table["runs"]["coverage@1"] == pytest.approx((0.5 + 0.1) / 2)
    assert table["runs"]["coverage@1_seeds"]["values"] == [0.5, 0.1]
    assert not any("seeds" in key for key in table["first"])
    both = ranking_table({"runs": runs, "first": FIRST}, TARGETS, [("hr", 1)], comparisons=[("runs", "first")])
    assert both["runs"]["hr@1_vs_first"]["mean"] == -0.5


def test_users_without_a_value_are_left_out():
    values = np.array([[1.0, np.nan], [np.nan, np.nan], [3.0, np.nan]])
    table = value_table({"a": values, "b": np.ones((3, 2))}, ["x", "y"], [("a", "b")])
    assert table["a"]["x"] == 2
    assert table["a"]["x_vs_b"]["mean"] == 1
    assert table["a"]["y"] is None
    assert table["a"]["y_ci"] is None
    assert "y_vs_b" not in table["a"]


def test_columns_are_named_as_in_suites():
    assert columns_of(["ndcg@10", "coverage@5"]) == [("ndcg", 10), ("coverage", 5)]
    for wrong in ("log_loss", "grouped_auc"):
        with pytest.raises(SettingsError, match="does not judge ranked lists"):
            columns_of(["ndcg@10", wrong])
    with pytest.raises(NotFoundError):
        columns_of(["accuracy@1"])
    assert definitions(EVERY_KIND)["coverage"] == metrics.metric("coverage").DEFINITION
