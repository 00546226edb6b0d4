"""Hidden and expired items are gone at once, on every path; and requests that cannot be answered say why."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from genrec.data.sqlite.store import SqliteStore
from genrec.domain import Event, Item, Recommendation
from genrec.errors import NotFoundError, RequestError
from genrec.pipeline.recommender import Recommender
from genrec.pipeline.request import MOST_ITEMS, RecommendationRequest
from genrec.retrieval.tuning import fit_hybrid
from genrec.settings import Settings
from genrec.text.encoders import HashingEncoder
from scoring_factories import retrieval_scorer


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    with SqliteStore(tmp_path / "genrec.db", create=True) as made:
        made.put_items(Item(f"i{n}", f"Title {n}", {"genres": ("Comedy",), "margin": float(n)}) for n in range(30))
        made.append(
            [Event(f"u{user}", f"i{(user + step) % 30}", 100.0 * step) for user in range(20) for step in range(5)]
        )
        yield made


def recommender(store: SqliteStore, **sections: dict[str, Any]) -> Recommender:
    settings = Settings.load(
        None, {"retrieval": {"retrievers": ("covisit", "popular"), "candidates": 8, "pool": 12}, **sections}
    )
    items = list(store.all_items())
    blend = fit_hybrid(store.interactions(), items, settings=settings, encoder=HashingEncoder(), tune=False)
    return Recommender(
        store=store,
        retriever=blend,
        ranker=None,
        scorer=retrieval_scorer(store, settings),
        settings=settings,
        version="v1",
    )


def ids(answer: Recommendation) -> list[str]:
    return [line.item.id for line in answer.items]


PATHS: dict[str, dict[str, Any]] = {
    "retrieval": {"user_id": "u3"},
    "popularity": {"user_id": "nobody"},
    "own history": {"history": ["i3"]},
    "candidates of the caller": {"user_id": "u3", "candidate_ids": ("i20", "i21", "i22")},
    "words": {"user_id": "u3", "query": "title 20"},
}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(("change", "reason"), [({"hidden": True}, "hidden"), ({"expires": 1.0}, "expired")])
def test_what_is_hidden_or_expired_is_gone_at_once(
    store: SqliteStore, path: str, change: dict[str, Any], reason: str
) -> None:
    rec = recommender(store)
    first = rec.recommend(k=3, **PATHS[path]).items[0].item
    store.put_items([replace(first, **change)])
    answer = rec.recommend(k=3, **PATHS[path])
    assert first.id not in ids(answer)
    assert reason in {one.reason for one in answer.dropped if one.item_id == first.id}
    store.put_items([first])
    assert ids(rec.recommend(k=3, **PATHS[path]))[0] == first.id


def test_items_expire_by_the_time_of_the_request_where_it_has_one(store: SqliteStore) -> None:
    rec = recommender(store)
    first = rec.recommend("u3", 3).items[0].item
    store.put_items([replace(first, expires=500.0)])
    assert ids(rec.recommend("u3", 3, now=499.0))[0] == first.id
    assert first.id not in ids(rec.recommend("u3", 3, now=500.0))


def test_nobody_reads_the_title_of_a_hidden_item(store: SqliteStore) -> None:
    rec = recommender(store)
    store.put_items([replace(store.item("i4"), hidden=True)])
    slate = rec.slate(RecommendationRequest(user_id="u3"))
    assert [entry.item.id for entry in slate.history.entries] == ["i3", "i5", "i6", "i7"]
    assert slate.events == 5  # what was learned from it stays


def test_an_unknown_field_of_a_condition_is_an_error(store: SqliteStore) -> None:
    rec = recommender(store)
    with pytest.raises(RequestError, match="no item has a field 'gener'") as raised:
        rec.recommend("u3", 3, where={"gener": ["Comedy"]})
    assert raised.value.hint == "did you mean 'genres'? fields of the catalogue: genres, margin"
    store.put_items([Item("new", "New", {"gener": "x"})])
    assert rec.recommend("u3", 3, where={"gener": ["Comedy"]}).items == ()


def test_an_empty_answer_says_why(store: SqliteStore) -> None:
    answer = recommender(store).recommend("u3", 3, where={"genres": "Western"})
    assert answer.items == ()
    assert answer.nothing_left == "nothing is left to recommend; left out: condition (25), seen (5)"
    assert recommender(store).recommend("u3", 3).nothing_left is None


def test_what_scoring_cuts_has_a_reason(store: SqliteStore) -> None:
    slate = recommender(store).slate(RecommendationRequest(user_id="u3", k=3))
    shown = {one.item.id for one in slate.candidates.items}
    cut = [one for one in slate.dropped if one.stage == "scoring"]
    assert {one.reason for one in cut} == {"not among the 8 best by P(click)"}
    assert {one.item_id for one in cut} | shown == set(slate.pool)
    assert len(cut) == 4


def test_the_objective_orders_the_answer(store: SqliteStore) -> None:
    answer = recommender(store, objective={"click": 0.0, "fields": {"margin": 1.0}}).recommend("u3", 5)
    values = [line.value for line in answer.items]
    assert values == [line.item.metadata["margin"] for line in answer.items]
    assert values == sorted(values, reverse=True)
    assert any(line.moved for line in answer.items)


def test_p_click_falls_from_row_to_row_and_is_a_share_of_the_pool(store: SqliteStore) -> None:
    answer = recommender(store).recommend("u3", 8)
    p_click = [line.p_click for line in answer.items]
    assert p_click == sorted(p_click, reverse=True)
    assert 0 < sum(p_click) <= 1
    assert [line.value for line in answer.items] == p_click


def test_a_history_may_be_ids(store: SqliteStore) -> None:
    rec = recommender(store)
    answer = rec.recommend(history=["i1", "i2"], k=3)
    assert answer.provenance.history_events == 2
    assert not {"i1", "i2"} & set(ids(answer))
    with pytest.raises(NotFoundError):
        rec.recommend(history=["nothing"])
    with pytest.raises(RequestError, match="history is one text"):
        rec.recommend(history="i1")


@pytest.mark.parametrize(
    ("options", "said", "hint"),
    [
        ({"explain": "words"}, "no option 'explain'", "genrec.explanation.explain.explained"),
        ({"polici": "veto"}, "no option 'polici'", "did you mean 'policy'?"),
        ({"k": 0}, "k is 0", f"1 to {MOST_ITEMS}"),
        ({"k": MOST_ITEMS + 1}, "k is 1001", f"1 to {MOST_ITEMS}"),
    ],
)
def test_wrong_options_are_clear_errors(store: SqliteStore, options: dict[str, Any], said: str, hint: str) -> None:
    with pytest.raises(RequestError, match=said) as raised:
        recommender(store).recommend("u3", **options)
    assert hint in raised.value.hint


def test_a_thousand_may_be_asked_for(store: SqliteStore) -> None:
    assert len(recommender(store).recommend("u3", MOST_ITEMS).items) == 25
