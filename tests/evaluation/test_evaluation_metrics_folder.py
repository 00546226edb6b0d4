"""What every metric of the folder must have, and how suites name them."""

import importlib
import itertools

import numpy as np
import pytest

from genrec.errors import NotFoundError, SettingsError
from genrec.evaluation import metrics
from genrec.evaluation.tables import columns_of, ranking_table
from genrec.testing import MetricContract

NUMBERS = itertools.count()
"""Of packages that tests make: a name is imported once."""


@pytest.mark.parametrize("name", metrics.names())
class TestMetrics(MetricContract):
    @pytest.fixture
    def metric(self, name):
        return importlib.import_module(f"genrec.evaluation.metrics.{name}")

    def test_its_kind_is_the_one_that_is_named(self, name):
        assert [kind for kind in metrics.KINDS if name in metrics.names(kind)] == [metrics.kind_of(name)]


def test_metrics_of_lists_say_what_they_read():
    found = {name: metrics.reads(name) for name in metrics.names("user") + metrics.names("set")}
    assert [name for name, reads in found.items() if reads == "targets"] == ["hr", "map", "mrr", "ndcg", "recall"]
    assert [name for name, reads in found.items() if reads == "genres"] == ["genre_calibration", "genre_diversity"]
    assert set(found.values()) == {"targets", "genres", "catalogue"}


def test_kinds_follow_from_the_function():
    assert [metrics.kind_of(name) for name in ("ndcg", "gini", "log_loss")] == ["user", "set", "row"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("ndcg@10", ("ndcg", 10)), ("coverage@5", ("coverage", 5)), ("log_loss", ("log_loss", None))],
)
def test_names_as_suites_write_them(text, expected):
    assert metrics.parse(text) == expected


@pytest.mark.parametrize("text", ["ndcg", "ndcg@", "ndcg@0", "ndcg@-1", "ndcg@ten", "ndcg@1.5", "ndcg@²", "auc@10"])
def test_a_missing_or_wrong_number_of_places_is_named(text):
    with pytest.raises(SettingsError, match=text.partition("@")[0]):
        metrics.parse(text)


@pytest.mark.parametrize("text", ["accuracy@10", "@10", "", "__init__"])
def test_unknown_metrics_are_named(text):
    with pytest.raises(NotFoundError, match="there is no metric"):
        metrics.parse(text)
    with pytest.raises(NotFoundError):
        metrics.metric(text)


MINE = """
DEFINITION = "1 if the first item is relevant, else 0"
BETTER = "higher"
READS = "targets"
def per_user(lists):
    return lists.hits[:, 0].astype("float64")
"""


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """Writes a module of a user and gives its dotted path; each has a name of its own."""
    package = f"shop_{next(NUMBERS)}"
    (tmp_path / package).mkdir()
    monkeypatch.syspath_prepend(tmp_path)

    def write(code):
        (tmp_path / package / "first.py").write_text(code)
        return f"{package}.first"

    return write


def test_a_metric_of_ones_own_is_named_by_its_dotted_path(mine):
    name = mine(MINE)
    assert metrics.parse(f"{name}@5") == (name, 5)
    assert metrics.kind_of(name) == "user"
    assert metrics.better(f"{name}@5") == "higher"
    ranked = {"a": np.array([[3, 1], [2, 3]]), "b": np.array([[1, 3], [1, 2]])}
    table = ranking_table(ranked, [np.array([3]), np.array([3])], columns_of([f"{name}@2", "hr@2"]))
    assert [table[system][f"{name}@2"] for system in "ab"] == [0.5, 0.0]
    assert [table[system]["hr@2"] for system in "ab"] == [1.0, 0.5]
    assert name not in metrics.names()


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (MINE.replace("BETTER", "WORSE"), "it has no BETTER"),
        (MINE.replace("per_user", "for_each"), "no function that judges"),
        (MINE + "over_lists = per_user", "per_user and over_lists"),
        (MINE.replace("READS", "LOOKS"), "it has no READS"),
        ("import a_package_that_is_not_there", "needs the package a_package_that_is_not_there"),
    ],
)
def test_what_a_metric_of_ones_own_lacks_is_said(mine, code, said):
    assert said in metrics.problem(f"{mine(code)}@5")


@pytest.mark.parametrize("text", ["accuracy@10", "ndgc@10", "shop.accuracy@10", "hr.per_user@10"])
def test_a_wrong_name_is_answered_with_all_names(text):
    with pytest.raises(NotFoundError, match="there is no metric") as raised:
        metrics.parse(text)
    assert ", ".join(metrics.names()) in raised.value.hint
    assert ", ".join(metrics.names()) in metrics.problem(text)
    assert ("did you mean ndcg" in raised.value.hint) is (text == "ndgc@10")


def test_which_way_is_good():
    assert metrics.better("ndcg@10") == "higher"
    assert metrics.better("calibration_error") == "lower"
    assert metrics.better("novelty@10") == "neither"
    assert metrics.better("requests") == "neither"
