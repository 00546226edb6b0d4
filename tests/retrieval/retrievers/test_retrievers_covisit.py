from __future__ import annotations

import numpy as np
import pytest

from genrec.data.histories import HistoryArrays
from genrec.data.interactions import Interactions
from genrec.retrieval.retrievers.covisit import CovisitRetriever

A, B, C, D = range(4)


def log(*users: list[int], n_items: int = 4) -> Interactions:
    user = np.repeat(np.arange(len(users)), [len(items) for items in users])
    item = np.array([item for items in users for item in items])
    ids = np.array([str(number) for number in range(n_items)], dtype=object)
    names = np.array([str(number) for number in range(len(users))], dtype=object)
    return Interactions.from_columns(names, ids, user, item, np.arange(len(user), dtype=np.float64))


def query(*items: int) -> HistoryArrays:
    return HistoryArrays(np.array(items, dtype=np.int32), np.zeros(len(items)), np.full(len(items), np.nan), 0.0)


FIVE_EVENTS = log([A, B, C], [A, C])
PLAIN = {"window": 2, "source_power": 0.0, "target_power": 0.0, "symmetric": 0.0, "decay": 0.5}


def test_transitions_weigh_one_over_their_distance() -> None:
    # A -> B at distance 1; A -> C at distance 2 (first user) and 1 (second user)
    scores = CovisitRetriever.fit(FIVE_EVENTS, [], **PLAIN).scores(query(A))
    np.testing.assert_allclose(scores, [0, 1, 1.5, 0])


def test_the_window_ends_where_it_says() -> None:
    scores = CovisitRetriever.fit(FIVE_EVENTS, [], **{**PLAIN, "window": 1}).scores(query(A))
    np.testing.assert_allclose(scores, [0, 1, 1, 0])


def test_older_events_decay() -> None:
    # newest B gives C 1; A before it gives half of (B 1, C 1.5)
    scores = CovisitRetriever.fit(FIVE_EVENTS, [], **PLAIN).scores(query(A, B))
    np.testing.assert_allclose(scores, [0, 0.5, 1.75, 0])


def test_counts_divide_with_their_powers() -> None:
    # counts: A 2, B 1, C 2
    scores = CovisitRetriever.fit(FIVE_EVENTS, [], **{**PLAIN, "source_power": 0.5, "target_power": 1.0}).scores(
        query(A)
    )
    np.testing.assert_allclose(scores, [0, 1 / 2**0.5, 1.5 / 2**0.5 / 2, 0], rtol=1e-6)


def test_a_share_of_the_transposed_table_is_added() -> None:
    scores = CovisitRetriever.fit(FIVE_EVENTS, [], **{**PLAIN, "symmetric": 0.5}).scores(query(C))
    np.testing.assert_allclose(scores, [0.75, 0.5, 0, 0])


def test_only_the_newest_events_of_the_query_count() -> None:
    retriever = CovisitRetriever.fit(FIVE_EVENTS, [], **PLAIN, history=1)
    np.testing.assert_array_equal(retriever.scores(query(A, B)), retriever.scores(query(B)))


def test_nothing_crosses_from_one_user_to_the_next() -> None:
    scores = CovisitRetriever.fit(log([A, B], [C, D]), [], **{**PLAIN, "window": 10}).scores(query(B))
    assert not scores.any()


def test_only_the_strongest_neighbours_are_kept() -> None:
    scores = CovisitRetriever.fit(FIVE_EVENTS, [], **PLAIN, neighbours=1).scores(query(A))
    np.testing.assert_allclose(scores, [0, 0, 1.5, 0])


def test_of_equal_neighbours_the_first_in_the_catalogue_is_kept() -> None:
    scores = CovisitRetriever.fit(log([A, D], [A, C]), [], **PLAIN, neighbours=1).scores(query(A))
    np.testing.assert_allclose(scores, [0, 0, 1, 0])


@pytest.mark.parametrize("window", [1, 3, 100])
def test_pieces_add_up_to_the_plain_double_loop(window: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genrec.retrieval.retrievers.covisit.CHUNK", 7)
    random = np.random.default_rng(0)
    users = [random.integers(0, 6, random.integers(1, 12)).tolist() for _ in range(20)]
    expected = np.zeros((6, 6))
    for items in users:
        for start, source in enumerate(items):
            for distance, target in enumerate(items[start + 1 : start + 1 + window], 1):
                expected[source, target] += 1 / distance
    retriever = CovisitRetriever.fit(log(*users, n_items=6), [], **{**PLAIN, "window": window})
    np.testing.assert_allclose([retriever.scores(query(item)) for item in range(6)], expected, rtol=1e-5)
