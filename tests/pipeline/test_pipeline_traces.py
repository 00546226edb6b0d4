"""What is kept of an answer, and what `genrec why` and Python are told of it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from genrec.data.sqlite.store import SqliteStore
from genrec.data.traces import LeftOut, Trace, TracedItem
from genrec.domain import Event, Item
from genrec.errors import NotFoundError, RequestError
from genrec.explanation.why import why
from genrec.pipeline.recommender import Recommender
from genrec.pipeline.request import RecommendationRequest
from genrec.retrieval.tuning import fit_hybrid
from genrec.settings import Settings
from scoring_factories import retrieval_scorer

ITEMS = 400


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    with SqliteStore(tmp_path / "genrec.db", create=True) as made:
        made.put_items(
            Item(f"B00{n:07d}", f"Title {n}", {"genres": ("Comedy" if n % 2 else "Drama",)}, hidden=n == 300)
            for n in range(ITEMS)
        )
        made.append(
            [
                Event(f"u{user}", f"B00{(7 * user + step) % ITEMS:07d}", 100.0 * step + user)
                for user in range(60)
                for step in range(8)
            ]
        )
        yield made


def recommender(store: SqliteStore, **sections: dict[str, Any]) -> Recommender:
    settings = Settings.load(None, {"retrieval": {"retrievers": ("covisit", "popular")}, **sections})
    blend = fit_hybrid(store.interactions(), list(store.all_items()), settings=settings, encoder=None, tune=False)
    return Recommender(
        store=store,
        retriever=blend,
        ranker=None,
        scorer=retrieval_scorer(store, settings),
        settings=settings,
        version="v1",
    )


def text_of(store: SqliteStore, request_id: str) -> str:
    connection = sqlite3.connect(store.path)
    row = connection.execute("SELECT * FROM exposures WHERE request_id = ?", (request_id,)).fetchone()
    connection.close()
    return json.dumps(row)


def test_a_trace_says_what_the_stages_did(store: SqliteStore) -> None:
    answer = recommender(store).recommend("u1", 10)
    trace = store.exposure(answer.request_id).trace
    assert trace is not None
    assert [one.item_id for one in trace.shown] == [line.item.id for line in answer.items]
    assert [one.p_click for one in trace.shown] == pytest.approx([line.p_click for line in answer.items], rel=1e-3)
    assert [tuple(one.sources) for one in trace.shown] == [line.sources for line in answer.items]
    assert trace.versions["workspace"] == "v1"
    assert trace.versions["policy"] == "fuse"
    assert trace.versions["fallback"] == "no language model"
    assert trace.versions["genrec"]
    assert trace.counts == {"pool": 200, "candidates": 20, "history": 8}
    scored = [one for one in trace.left_out if one.p_click is not None]
    assert [one.stage for one in scored] == ["list"] * 10 + ["scoring"] * 10
    assert scored[-1].reason == "not among the 20 best by P(click)"
    p_click = [one.p_click for one in scored if one.p_click is not None]
    assert p_click == sorted(p_click, reverse=True)
    assert {one.reason for one in trace.left_out if one.p_click is None} <= {"seen", "hidden"}


def test_ten_of_a_pool_of_200_take_less_than_4_kb(store: SqliteStore) -> None:
    answer = recommender(store, exploration={"temperature": 1.0}).recommend("u1", 10)
    assert len(text_of(store, answer.request_id).encode()) < 4096
    trace = store.exposure(answer.request_id).trace
    assert trace is not None
    assert len(trace.left_out) >= 20


def test_long_ids_cost_what_was_left_out_and_never_what_was_shown() -> None:
    shown = tuple(TracedItem("x" * 200 + str(n), {"covisit": 1.0}, 1.0, 0.1, 0.5, 0.1) for n in range(10))
    left = tuple(LeftOut("y" * 200 + str(n), "scoring", "behind", 0.01) for n in range(30))
    text = Trace(shown, left).to_json()
    assert len(text.encode()) < 4000
    read = Trace.from_json(text)
    assert read.shown == shown
    assert 0 < len(read.left_out) < 30
    assert read.left_out == left[: len(read.left_out)]


def test_a_trace_comes_back_as_it_was() -> None:
    shown = (TracedItem("a", {"covisit": 0.5, "query": 2.0}, 0.25, 0.1, None, 0.2, 1.5, 0.05, ("objective: up",)),)
    trace = Trace(shown, (LeftOut("b", "policy", "p_click below 0.1", 0.01),), {"pool": 2}, {"model": None})
    assert Trace.from_json(trace.to_json()) == trace


def test_why_is_told_in_words(store: SqliteStore) -> None:
    answer = recommender(store).recommend("u1", 3)
    told = why(store, answer.request_id).lines
    assert told[0].startswith("Shown: 3 of 200 that covisit+popular proposed for 8 events of history.")
    assert "without the language model (no language model)" in told[0]
    assert told[1].startswith(f"1. {answer.items[0].item.title} ({answer.items[0].item.id}): proposed by covisit (")
    best = why(store, answer.request_id, answer.items[0].item.id).lines[1]
    assert f"P(click) {answer.items[0].p_click:.3g}" in best


def test_why_not_this_one(store: SqliteStore) -> None:
    rec = recommender(store, policy={"name": "veto", "threshold": 0.99})
    answer = rec.recommend("u1", 3)
    seen = store.history("u1").entries[0].item
    hidden = store.item("B000000300")
    cut = next(one for one in answer.dropped if one.stage == "policy")
    assert (
        "Stage policy: p_click below 0.99 of the best in the pool"
        in why(store, answer.request_id, cut.item_id).lines[1]
    )
    assert "seen" in why(store, answer.request_id, seen.id).lines[1]
    assert "hid" in why(store, answer.request_id, hidden.id).lines[1]
    pool = rec.slate(RecommendationRequest(user_id="u1", k=3)).pool
    trace = store.exposure(answer.request_id).trace
    assert trace is not None
    told = {one.item_id for one in trace.left_out} | set(store.history("u1").item_ids()) | {hidden.id}
    far = next(item.id for item in store.all_items() if item.id not in pool and item.id not in told)
    assert "Retrieval did not propose it" in why(store, answer.request_id, far).lines[1]


def test_what_is_not_known_is_an_error(store: SqliteStore) -> None:
    with pytest.raises(NotFoundError, match="no answer was logged"):
        why(store, "rec-nothing")
    answer = recommender(store).recommend("u1", 3)
    with pytest.raises(NotFoundError, match="no item"):
        why(store, answer.request_id, "nothing")


def test_old_traces_go_and_the_lists_stay(store: SqliteStore) -> None:
    answer = recommender(store).recommend("u1", 3)
    assert store.prune_traces(1e9) == 0
    assert store.prune_traces(1e11) == 1
    assert store.exposure(answer.request_id).item_ids == tuple(line.item.id for line in answer.items)
    with pytest.raises(RequestError, match="not kept any more") as raised:
        why(store, answer.request_id)
    assert "traces.keep_days" in raised.value.hint


def test_no_trace_is_kept_where_the_settings_say_so(store: SqliteStore) -> None:
    answer = recommender(store, traces={"keep_days": 0}).recommend("u1", 3)
    assert store.exposure(answer.request_id).trace is None
