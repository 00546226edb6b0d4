"""What every metric of the folder must have, and how suites name them."""

import importlib

import pytest

from genrec.errors import NotFoundError, SettingsError
from genrec.evaluation import metrics
from genrec.testing import MetricContract


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


def test_which_way_is_good():
    assert metrics.better("ndcg@10") == "higher"
    assert metrics.better("calibration_error") == "lower"
    assert metrics.better("novelty@10") == "neither"
    assert metrics.better("requests") == "neither"
