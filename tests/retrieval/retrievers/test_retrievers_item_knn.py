from __future__ import annotations

import math

import numpy as np
import pytest

from genrec.data.histories import HistoryArrays
from genrec.data.interactions import Interactions
from genrec.retrieval.retrievers.item_knn import ItemKnnRetriever

A, B, C, D = range(4)


def log(*users: list[int]) -> Interactions:
    user = np.repeat(np.arange(len(users)), [len(items) for items in users])
    item = np.array([item for items in users for item in items])
    names = np.array([str(number) for number in range(len(users))], dtype=object)
    return Interactions.from_columns(names, np.array(list("abcd"), dtype=object), user, item, np.arange(len(user)))


def query(*items: int) -> HistoryArrays:
    return HistoryArrays(np.array(items, dtype=np.int32), np.zeros(len(items)), np.full(len(items), np.nan), 0.0)


# users: A 3, B 2, C 1; together: A and B 2, A and C 1
THREE_USERS = log([A, B, A], [B, A], [C, A])
PLAIN = {"neighbours": 10, "shrink": 0.0, "decay": 0.5}


def test_cosines_by_hand() -> None:
    scores = ItemKnnRetriever.fit(THREE_USERS, [], **PLAIN).scores(query(A))
    np.testing.assert_allclose(scores, [0, 2 / math.sqrt(6), 1 / math.sqrt(3), 0], rtol=1e-6)


def test_few_users_are_shrunk() -> None:
    scores = ItemKnnRetriever.fit(THREE_USERS, [], **{**PLAIN, "shrink": 2.0}).scores(query(A))
    np.testing.assert_allclose(scores, [0, 2 / (math.sqrt(6) + 2), 1 / (math.sqrt(3) + 2), 0], rtol=1e-6)


def test_older_events_decay() -> None:
    scores = ItemKnnRetriever.fit(THREE_USERS, [], **PLAIN).scores(query(A, B))
    # newest B gives A its cosine; A before it gives half of its cosines
    near = 2 / math.sqrt(6)
    np.testing.assert_allclose(scores, [near, near / 2, 1 / math.sqrt(3) / 2, 0], rtol=1e-6)


def test_only_the_nearest_neighbours_are_kept() -> None:
    scores = ItemKnnRetriever.fit(THREE_USERS, [], **{**PLAIN, "neighbours": 1}).scores(query(A))
    np.testing.assert_allclose(scores, [0, 2 / math.sqrt(6), 0, 0], rtol=1e-6)


@pytest.mark.parametrize("rows", [1, 3, 100])
def test_pieces_give_the_same_as_the_whole(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genrec.retrieval.matrices.ROWS", rows)
    scores = ItemKnnRetriever.fit(THREE_USERS, [], **PLAIN).scores(query(C))
    np.testing.assert_allclose(scores, [1 / math.sqrt(3), 0, 0, 0], rtol=1e-6)
