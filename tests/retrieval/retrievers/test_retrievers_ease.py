from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from genrec.data.histories import HistoryArrays
from genrec.data.interactions import Interactions
from genrec.errors import DataError
from genrec.retrieval.retrievers.ease import EaseRetriever, item_weights


def log(*users: list[int], n_items: int) -> Interactions:
    user = np.repeat(np.arange(len(users)), [len(items) for items in users])
    item = np.array([item for items in users for item in items])
    ids = np.array([str(number) for number in range(n_items)], dtype=object)
    names = np.array([str(number) for number in range(len(users))], dtype=object)
    return Interactions.from_columns(names, ids, user, item, np.arange(len(user), dtype=np.float64))


def query(*items: int) -> HistoryArrays:
    return HistoryArrays(np.array(items, dtype=np.int32), np.zeros(len(items)), np.full(len(items), np.nan), 0.0)


# Three users, items 0, 1 and 2: X'X = [[2, 1, 1], [1, 2, 1], [1, 1, 2]], and with 1 on its diagonal
# (X'X + 1)^-1 = [[4, -1, -1], [-1, 4, -1], [-1, -1, 4]] / 10, so that B is 1/4 everywhere but on the diagonal.
TRIANGLE = log([0, 1], [1, 2], [2, 0], n_items=4)


def test_weights_by_hand() -> None:
    scores = EaseRetriever.fit(TRIANGLE, [], regularization=1.0, decay=1.0).scores(query(0))
    np.testing.assert_allclose(scores, [0, 0.25, 0.25, 0], rtol=1e-6)


def test_older_events_decay() -> None:
    scores = EaseRetriever.fit(TRIANGLE, [], regularization=1.0, decay=0.5).scores(query(0, 1))
    # newest 1 gives 0 and 2 a quarter each; 0 before it gives 1 and 2 an eighth
    np.testing.assert_allclose(scores, [0.25, 0.125, 0.375, 0], rtol=1e-6)


def test_a_second_touch_of_the_same_user_changes_nothing() -> None:
    again = log([0, 1, 0], [1, 2], [2, 0], n_items=4)
    scores = EaseRetriever.fit(again, [], regularization=1.0, decay=1.0).scores(query(0))
    np.testing.assert_allclose(scores, [0, 0.25, 0.25, 0], rtol=1e-6)


def test_weights_agree_with_the_plain_inverse() -> None:
    random = np.random.default_rng(0)
    matrix = (random.random((60, 25)) < 0.3).astype(np.float64)
    gram = matrix.T @ matrix
    inverse = np.linalg.inv(gram + 3 * np.eye(25))
    expected = -inverse / np.diag(inverse)
    np.fill_diagonal(expected, 0)
    np.testing.assert_allclose(item_weights(gram.astype(np.float32), 3.0), expected, atol=1e-5)


def test_the_matrix_is_inverted_in_place() -> None:
    gram = np.eye(5, dtype=np.float32)
    assert np.shares_memory(item_weights(gram, 1.0), gram)


def test_untouched_items_take_no_room(tmp_path: Path) -> None:
    sparse = log([7, 9], n_items=1_000)
    EaseRetriever.fit(sparse, []).save(tmp_path)
    assert (tmp_path / "arrays.safetensors").stat().st_size < 1_000
    assert np.flatnonzero(EaseRetriever.load(tmp_path).scores(query(7, 500))).tolist() == [9]


def test_too_many_items_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genrec.retrieval.retrievers.ease.MAX_ITEMS", 2)
    with pytest.raises(DataError, match="3 are more than 2"):
        EaseRetriever.fit(TRIANGLE, [])


def test_another_decay_needs_no_new_fit() -> None:
    retriever = EaseRetriever.fit(TRIANGLE, [], regularization=1.0, decay=0.5)
    expected = EaseRetriever.fit(TRIANGLE, [], regularization=1.0, decay=0.9).scores(query(0, 1))
    np.testing.assert_array_equal(retriever.with_query(decay=0.9).scores(query(0, 1)), expected)
