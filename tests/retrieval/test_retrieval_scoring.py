from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genrec.data.histories import HistoryArrays
from genrec.data.interactions import Interactions
from genrec.data.splits import leave_one_out
from genrec.domain import History, HistoryEntry, Item
from genrec.retrieval.base import Scores
from genrec.retrieval.scoring import batches, ndcg_at, ndcg_of, queries_of, ranks_of, scaled, top_k

few_values = st.lists(st.sampled_from([0.0, 0.5, 1.0, -1.0]), min_size=1, max_size=30)


@given(few_values, st.integers(0, 40), st.data())
def test_top_k_is_the_stable_sort_without_the_excluded(values: list[float], k: int, data: st.DataObject) -> None:
    excluded = data.draw(st.sets(st.integers(0, len(values) - 1)))
    expected = sorted(set(range(len(values))) - excluded, key=lambda position: (-values[position], position))[:k]
    assert top_k(np.array(values, dtype=np.float32), k, list(excluded)).tolist() == expected


@given(few_values, st.data())
def test_ranks_agree_with_top_k(values: list[float], data: st.DataObject) -> None:
    seen = data.draw(st.sets(st.integers(0, len(values) - 1)))
    targets = sorted(set(range(len(values))) - seen)
    scores = np.array(values, dtype=np.float32)
    ranks = ranks_of(scores, np.array(sorted(seen), dtype=np.int32), np.array(targets, dtype=np.int32))
    order = top_k(scores, len(values), list(seen)).tolist()
    assert ranks.tolist() == [order.index(target) for target in targets]


def test_top_k_leaves_its_input_alone() -> None:
    scores = np.array([3, 2, 1], dtype=np.float32)
    top_k(scores, 1, [0])
    np.testing.assert_array_equal(scores, [3, 2, 1])


def test_ndcg_by_hand() -> None:
    scores = np.array([0.9, 0.8, 0.7, 0.6], dtype=np.float32)
    # item 0 was seen: 1, 2, 3 have ranks 1, 2, 3; found are 2 and 3
    found = ndcg_of(scores, np.array([0], dtype=np.int32), np.array([2, 3], dtype=np.int32), k=10)
    assert found == pytest.approx((1 / math.log2(3) + 1 / math.log2(4)) / (1 + 1 / math.log2(3)))


def test_ndcg_counts_only_the_first_k() -> None:
    scores = np.array([0.9, 0.8, 0.7], dtype=np.float32)
    nothing = np.zeros(0, dtype=np.int32)
    assert ndcg_of(scores, nothing, np.array([2], dtype=np.int32), k=2) == 0
    # the ideal has min(targets, k) = 1 hit
    assert ndcg_of(scores, nothing, np.array([0, 2], dtype=np.int32), k=1) == 1


def test_scaled_runs_from_zero_to_one_within_each_row() -> None:
    scores = np.array([[1, 3, 2], [-4, 0, -2], [5, 5, 5]], dtype=np.float32)
    np.testing.assert_allclose(scaled(scores), [[0, 1, 0.5], [0, 1, 0.5], [0, 0, 0]])


def test_a_query_leaves_out_what_the_index_does_not_know() -> None:
    entries = [
        HistoryEntry(Item("b", "B"), 1.0, value=4.0),
        HistoryEntry(Item("?", "?"), 2.0),
        HistoryEntry(Item("a", "A"), 3.0),
    ]
    query = HistoryArrays.of(History("u", tuple(entries)), {"a": 0, "b": 1}, now=9.0)
    assert query.item.tolist() == [1, 0]
    assert query.timestamp.tolist() == [1.0, 3.0]
    np.testing.assert_array_equal(query.value, [4.0, np.nan])
    assert query.now == 9.0


class LastItemPlusOne:
    """Scores one item: the one after the newest of the query."""

    def scores(self, query: HistoryArrays) -> Scores:
        scores = np.zeros(5, dtype=np.float32)
        scores[(query.item[-1] + 1) % 5] = 1
        return scores


def test_ndcg_over_a_split() -> None:
    # last events: 3 after (1, 2) is found first; 0 after (4, 2) is found behind item 3, as the first of the rest
    ids = np.array(list("abcde"), dtype=object)
    log = Interactions.from_columns(
        np.array(["u", "v"], dtype=object), ids, np.repeat([0, 1], 3), np.array([1, 2, 3, 4, 2, 0]), np.arange(6.0)
    )
    split = leave_one_out(log)
    np.testing.assert_allclose(ndcg_at(LastItemPlusOne(), split), [1, 1 / math.log2(3)])
    np.testing.assert_allclose(ndcg_at(LastItemPlusOne(), split, rows=[1]), [1 / math.log2(3)])
    assert [query.item.tolist() for query in queries_of(split)] == [[1, 2], [4, 2]]


def test_batches_cover_every_row_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genrec.retrieval.scoring.BATCH_CELLS", 10)
    ids = np.array(list("abcde"), dtype=object)
    user = np.repeat(np.arange(7), 2)
    log = Interactions.from_columns(np.arange(7).astype(object), ids, user, np.tile([0, 1], 7), np.arange(14.0))
    parts = list(batches(leave_one_out(log), range(7)))
    assert [row for part in parts for row in part] == list(range(7))
    assert max(map(len, parts)) == 2
