"""Buckets are partitions named by what they hold; their figures are those of their users alone."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from genrec.data.interactions import Interactions
from genrec.data.splits import Split
from genrec.evaluation.breakdown import breakdown, buckets_of, by_edges, by_name, by_quantiles
from genrec.evaluation.significance import paired


def test_fixed_buckets_end_at_their_edges_and_are_named_by_what_they_hold():
    found = by_edges("history", np.array([1, 5, 6, 20, 400, 3]), (5, 20, 100))
    assert found.labels == ("1 to 5", "6 to 20", "400")
    assert found.of_user.tolist() == [0, 0, 1, 1, 2, 0]


def test_quantiles_keep_equal_values_together():
    found = by_quantiles("popularity", np.array([0, 0, 0, 0, 1, 2, 3, 1000]), 4)
    assert found.labels == ("0", "1 to 2", "3 to 1,000")
    assert by_quantiles("x", np.arange(8), 4).labels == ("0 to 1", "2 to 3", "4 to 5", "6 to 7")
    assert by_quantiles("x", np.array([7, 7, 7]), 4).labels == ("7",)
    assert by_quantiles("x", np.array([], dtype=int), 4).labels == ()


@given(arrays(np.int64, st.integers(1, 60), elements=st.integers(0, 30)), st.integers(1, 6))
def test_buckets_are_a_partition_in_order(values, count):
    found = by_quantiles("x", values, count)
    assert 1 <= len(found.labels) <= count
    assert set(found.of_user.tolist()) == set(range(len(found.labels)))
    assert len(found.of_user) == len(values)
    for place in range(len(found.labels) - 1):
        assert values[found.of_user == place].max() < values[found.of_user == place + 1].min()


def test_buckets_with_names_leave_out_empty_ones():
    found = by_name("x", np.array([2, 0, 2]), ("a", "b", "c"))
    assert found.labels == ("a", "c")
    assert found.of_user.tolist() == [1, 0, 1]


@pytest.fixture
def split():
    """Users 0, 1 and 2 have 1, 6 and 2 events on 6 items; items 4 and 5 are touched by nobody."""
    user = np.array([0] + [1] * 6 + [2] * 2)
    item = np.array([0, 0, 0, 1, 1, 2, 3, 0, 1])
    ids = (np.array([f"u{n}" for n in range(3)], object), np.array([f"i{n}" for n in range(6)], object))
    train = Interactions.from_columns(*ids, user, item, np.arange(9.0))
    targets = (np.array([4]), np.array([1, 5, 2]), np.array([3]))
    return Split("temporal", train, np.array([0, 1, 2]), targets, np.full(3, 9.0), False)


def test_buckets_of_a_split_look_at_the_training_part(split):
    found = buckets_of(split, split.train, 2)
    assert found["history_length"].labels == ("1 to 2", "6")
    assert found["history_length"].of_user.tolist() == [0, 1, 0]
    # Events of the items: 4, 3, 1, 1, 0, 0. Medians of the targets: 0, 1 (of 0, 1, 3), 1.
    assert found["target_popularity"].labels == ("0", "1")
    assert found["target_popularity"].of_user.tolist() == [0, 1, 1]
    assert found["untouched"].labels == ("touched", "some untouched", "untouched")
    assert found["untouched"].of_user.tolist() == [2, 1, 0]


def test_items_are_as_popular_as_in_what_is_fitted_on(split):
    fit_on = split.train.select(split.train.user != 1)
    found = buckets_of(split, fit_on, 2)
    assert found["history_length"].of_user.tolist() == [0, 1, 0]
    # Without user 1 items 0 and 1 have 2 events and 1, all others none.
    assert found["target_popularity"].labels == ("0",)
    assert found["untouched"].labels == ("some untouched", "untouched")
    assert found["untouched"].of_user.tolist() == [1, 0, 1]


def test_each_bucket_has_the_means_and_differences_of_its_own_users():
    generator = np.random.default_rng(0)
    values = {name: generator.random((40, 2)) for name in ("fused", "plain")}
    values["fused"][:10] += 0.5
    dimension = by_name("Kind of user", np.repeat([0, 1], [10, 30]), ("new", "old"))
    found = breakdown(values, ["ndcg@10", "hr@10"], {"kind": dimension}, [("fused", "plain")])
    json.dumps(found, allow_nan=False)
    assert found["kind"]["title"] == "Kind of user"
    new, old = found["kind"]["buckets"]
    assert (new["label"], new["users"], old["users"]) == ("new", 10, 30)
    assert new["systems"]["fused"]["ndcg@10"] == pytest.approx(values["fused"][:10, 0].mean(), abs=1e-6)
    assert old["systems"]["plain"]["hr@10"] == pytest.approx(values["plain"][10:, 1].mean(), abs=1e-6)
    expected = paired(values["fused"][:10, 0], values["plain"][:10, 0])
    difference = new["systems"]["fused"]["ndcg@10_vs_plain"]
    assert difference["mean"] == pytest.approx(expected.mean, abs=1e-6)
    assert difference["low"] == pytest.approx(expected.low, abs=1e-6)
    assert difference["low"] > 0 > old["systems"]["fused"]["ndcg@10_vs_plain"]["low"]
