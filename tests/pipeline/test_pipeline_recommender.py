"""The whole path on a small catalogue: what goes in, what comes out, and what happens when a part fails."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

from genrec.data.sqlite.store import SqliteStore
from genrec.data.store import Exposure
from genrec.domain import Event, History, HistoryEntry, Item, LlmRankerKey, Recommendation, RecommendedItem
from genrec.errors import DataError, GenrecError, NotFoundError, WorkspaceError
from genrec.llm.scripted import ScriptedModel
from genrec.pipeline.recommender import NOT_NEEDED, RecommendationRequest, Recommender
from genrec.prompting.library import TemplateLibrary
from genrec.prompting.tokenizer import load_tokenizer
from genrec.ranking.loading import load_ranker
from genrec.retrieval.tuning import fit_hybrid
from genrec.scoring.llm_evidence import LlmWeights
from genrec.settings import Settings
from genrec.text.encoders import Encoder, HashingEncoder
from scoring_factories import retrieval_scorer

ITEMS = 40
RETRIEVAL = {"retrievers": ("covisit", "popular"), "candidates": 8, "pool": 20}
NARROW = {**RETRIEVAL, "candidates": 6, "pool": 10}


@pytest.fixture
def store(tmp_path: Path) -> SqliteStore:
    """40 items in two genres, 30 users who go through them in order."""
    store = SqliteStore(tmp_path / "genrec.db", create=True)
    store.put_items(
        Item(
            f"i{n}", f"Title {n}", {"genres": ("Comedy" if n % 2 else "Drama",), "year": 1960.0 + n}, sponsored=n == 39
        )
        for n in range(ITEMS)
    )
    store.append(
        [
            Event(f"u{user}", f"i{(user + step) % ITEMS}", 100.0 * step + user, "watch", float(1 + (user + step) % 5))
            for user in range(30)
            for step in range(10)
        ]
    )
    return store


def recommender(
    store: SqliteStore,
    tokenizer_folder: Path,
    model: ScriptedModel | None,
    encoder: Encoder | None = None,
    weights: Mapping[LlmRankerKey, LlmWeights] = MappingProxyType({}),
    **sections: dict[str, Any],
) -> Recommender:
    # Read always, unless it is tested when serving reads: nobody weighed the scripted model.
    llm = {"read": "useful" if weights else "always", **sections.pop("llm", {})}
    settings = Settings.load(None, {"retrieval": RETRIEVAL, "llm": llm, **sections})
    blend = fit_hybrid(store.interactions(), list(store.all_items()), settings=settings, encoder=encoder, tune=False)
    tokenizer = load_tokenizer(tokenizer_folder)
    ranker = None if model is None else load_ranker(settings.ranking, model, tokenizer, TemplateLibrary())
    return Recommender(
        store=store,
        retriever=blend,
        ranker=ranker,
        scorer=replace(retrieval_scorer(store, settings), llm_weights=weights),
        settings=settings,
        version="v1",
        model=model,
    )


def ids(answer: Recommendation) -> list[str]:
    return [line.item.id for line in answer.items]


async def streamed(rec: Recommender, request: RecommendationRequest) -> tuple[list[RecommendedItem], Recommendation]:
    parts = [part async for part in rec.stream(request)]
    assert isinstance(parts[-1], Recommendation)
    return [part for part in parts[:-1] if isinstance(part, RecommendedItem)], parts[-1]


def test_an_answer_and_where_it_comes_from(store: SqliteStore, tiny_tokenizer_folder: Path) -> None:
    rec = recommender(store, tiny_tokenizer_folder, ScriptedModel(block=16))
    answer = rec.recommend("u3", 5)
    assert [line.rank for line in answer.items] == [1, 2, 3, 4, 5]
    assert not set(ids(answer)) & set(store.history("u3").item_ids())
    assert answer.provenance.template is not None
    assert answer.provenance.template.id == "rank/pointwise"
    assert answer.provenance.ranker == "pointwise"
    assert answer.provenance.fallback is None
    assert answer.provenance.candidates == 8
    assert answer.provenance.usage.computed > 0
    assert set(answer.provenance.stage_ms) == {"history", "retrieval", "scoring", "llm", "reranking"}
    assert all(line.llm_score is not None and line.sources for line in answer.items)


def test_an_adapter_is_read_though_the_model_without_it_has_no_weight(
    store: SqliteStore, tiny_tokenizer_folder: Path
) -> None:
    base, tuned = (LlmRankerKey("scripted", adapter, "pointwise", "rank/pointwise") for adapter in (None, "mine@1"))
    nothing, much = LlmWeights(0, 0, 0, 1, 60), LlmWeights(5, 5, 5, 1, 60)
    model = ScriptedModel(block=16)
    rec = recommender(store, tiny_tokenizer_folder, model, weights={base: nothing})
    assert rec.recommend("u3", 5).provenance.fallback == NOT_NEEDED
    swapped = ScriptedModel(block=16)
    swapped.adapter = "mine@1"
    ranker = load_ranker(rec.settings.ranking, swapped, load_tokenizer(tiny_tokenizer_folder), TemplateLibrary())
    with_adapter = rec.with_ranker(ranker, rec.settings, swapped)
    assert with_adapter.recommend("u3", 5).provenance.fallback == NOT_NEEDED  # nobody weighed it, and that is said
    assert "genrec fit --adapter base --adapter mine@1" in (with_adapter.missing_weights_warning or "")
    # Once it was weighed, its own weight counts, and that of the model without it stays what it was.
    both = recommender(store, tiny_tokenizer_folder, model, weights={base: nothing, tuned: much})
    with_adapter = both.with_ranker(ranker, both.settings, swapped)
    assert with_adapter.recommend("u3", 5).provenance.fallback is None
    assert (both.scorer.llm, with_adapter.scorer.llm) == (nothing, much)
    assert both.missing_weights_warning is with_adapter.missing_weights_warning is None


def test_a_model_that_nobody_weighed_is_read_only_where_that_is_asked_for(
    store: SqliteStore, tiny_tokenizer_folder: Path
) -> None:
    for read, fallback, calls in (("useful", NOT_NEEDED, False), ("always", None, True)):
        model = ScriptedModel(block=16)
        rec = recommender(store, tiny_tokenizer_folder, model, llm={"read": read})
        for words in (None, "something light"):
            assert rec.recommend("u3", 5, request=words).provenance.fallback == fallback
        assert (model.calls > 0) == calls
        assert rec.recommend("u3", 5, policy="annotate").provenance.fallback is None
        assert "is not read unless asked for" in (rec.missing_weights_warning or "")


def test_an_event_is_in_the_next_history(store: SqliteStore, tiny_tokenizer_folder: Path) -> None:
    rec = recommender(store, tiny_tokenizer_folder, ScriptedModel(block=16))
    before = rec.recommend("u3", 5)
    clicked = before.items[0].item.id
    store.append([Event("u3", clicked, 5000.0, "click", request_id=before.request_id)])
    slate = rec.slate(RecommendationRequest(user_id="u3"))
    history, candidates = slate.history, slate.candidates
    assert history.entries[-1].item.id == clicked
    assert clicked not in {candidate.item.id for candidate in candidates.items}
    assert clicked not in ids(rec.recommend("u3", 5))


def test_what_was_shown_is_logged(store: SqliteStore, tiny_tokenizer_folder: Path) -> None:
    rec = recommender(store, tiny_tokenizer_folder, ScriptedModel(block=16))
    answer = rec.recommend("u3", 4)
    (exposure,) = store.exposures()
    assert exposure.request_id == answer.request_id
    assert list(exposure.item_ids) == ids(answer)
    assert answer.provenance.template is not None
    assert exposure.template_hash == answer.provenance.template.hash


@pytest.mark.parametrize("ranker", ["pointwise", "single_pass", "listwise"])
@pytest.mark.parametrize("policy", ["annotate", "fuse", "veto"])
def test_the_stream_is_the_answer(store: SqliteStore, tiny_tokenizer_folder: Path, ranker: str, policy: str) -> None:
    rec = recommender(store, tiny_tokenizer_folder, ScriptedModel(block=16), ranking={"ranker": ranker})
    request = RecommendationRequest(user_id="u3", k=5, policy=policy)  # type: ignore[arg-type]
    lines, answer = asyncio.run(streamed(rec, request))
    assert lines == list(answer.items)
    assert len(lines) == 5


@pytest.mark.parametrize(
    ("model", "fallback"),
    [
        (ScriptedModel(block=16, fail_at=0), "engine"),
        (ScriptedModel(block=16, latency_s=5.0), "deadline"),
        (ScriptedModel(block=16, context=64), "prompt"),
        (None, "no language model"),
    ],
)
def test_without_the_model_the_order_of_p_click_answers(
    store: SqliteStore, tiny_tokenizer_folder: Path, model: ScriptedModel | None, fallback: str
) -> None:
    rec = recommender(store, tiny_tokenizer_folder, model, llm={"deadline_s": 0.2})
    answer = rec.recommend("u3", 5)
    slate = rec.slate(RecommendationRequest(user_id="u3", k=5)).candidates
    assert answer.provenance.fallback == fallback
    assert ids(answer) == [candidate.item.id for candidate in slate.items[:5]]  # nothing was learned: retrieval's order
    assert all(line.llm_score is None for line in answer.items)


def test_a_generation_that_breaks_off_is_completed(store: SqliteStore, tiny_tokenizer_folder: Path) -> None:
    model = ScriptedModel(block=16, fail_after_labels=2)
    rec = recommender(store, tiny_tokenizer_folder, model, ranking={"ranker": "listwise"}, policy={"name": "annotate"})
    lines, answer = asyncio.run(streamed(rec, RecommendationRequest(user_id="u3", k=5)))
    assert answer.provenance.fallback == "engine"
    assert lines == list(answer.items)
    assert len(set(ids(answer))) == 5
    assert [line.llm_score is None for line in answer.items] == [False, False, True, True, True]


def test_leaving_a_stream_stops_the_model(store: SqliteStore, tiny_tokenizer_folder: Path) -> None:
    class Slow(ScriptedModel):
        cancelled = False

        async def score_tokens(self, *args: Any, **options: Any) -> Any:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                self.cancelled = True
                raise

    model = Slow(block=16)
    rec = recommender(store, tiny_tokenizer_folder, model)

    async def leave() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(rec.arecommend(RecommendationRequest(user_id="u3")), 0.5)
        await asyncio.sleep(0.05)

    asyncio.run(leave())
    assert model.cancelled


def test_conditions_exclusions_and_blocks(store: SqliteStore, tiny_tokenizer_folder: Path) -> None:
    rec = recommender(store, tiny_tokenizer_folder, ScriptedModel(block=16))
    free = ids(rec.recommend("u3", 8))
    store.block("u3", [free[0]])
    answer = rec.recommend("u3", 8, exclude=(free[1],), where={"genres": ["comedy"], "year": {"min": 1970}})
    assert free[0] not in ids(answer)
    assert free[1] not in ids(answer)
    assert answer.items
    assert all(line.item.metadata["genres"] == ("Comedy",) for line in answer.items)
    assert all(float(line.item.metadata["year"]) >= 1970 for line in answer.items)  # type: ignore[arg-type]
    assert {item.reason for item in answer.dropped} >= {"blocked", "condition"}


def test_sponsored_items_come_only_when_asked_for(store: SqliteStore, tiny_tokenizer_folder: Path) -> None:
    rec = recommender(store, tiny_tokenizer_folder, ScriptedModel(block=16), retrieval={**RETRIEVAL, "pool": 40})
    assert "i39" not in ids(rec.recommend("u3", 30))
    assert "i39" in ids(rec.recommend("u3", 30, allow_sponsored=True))


def test_a_user_never_seen_and_an_anonymous_history(store: SqliteStore, tiny_tokenizer_folder: Path) -> None:
    rec = recommender(store, tiny_tokenizer_folder, ScriptedModel(block=16))
    assert len(rec.recommend("nobody", 5).items) == 5
    history = History(None, (HistoryEntry(store.item("i5"), 0.0),))
    answer = rec.recommend(None, 5, history=history)
    assert "i5" not in ids(answer)
    assert answer.provenance.history_events == 1
    assert list(store.exposures())[-1].user_id == "nobody"  # an anonymous answer leaves no exposure


def test_the_caller_may_bring_the_slate(store: SqliteStore, tiny_tokenizer_folder: Path) -> None:
    rec = recommender(store, tiny_tokenizer_folder, ScriptedModel(block=16))
    answer = rec.recommend("u3", 10, candidate_ids=("i1", "i20", "i33", "i1"))
    assert sorted(ids(answer)) == ["i1", "i20", "i33"]
    assert answer.provenance.retriever == "caller"
    with pytest.raises(NotFoundError):
        rec.recommend("u3", 10, candidate_ids=("i1", "no-such-item"))


class TestRequestsInWords:
    """40 items; the retrievers propose 20, so that some of the titles are out of reach."""

    def test_reach_retrieval_and_the_answer_says_so(self, store: SqliteStore, tiny_tokenizer_folder: Path) -> None:
        rec = recommender(store, tiny_tokenizer_folder, None, encoder=HashingEncoder(), retrieval=NARROW)
        plain, asked = rec.recommend("u3", 5), rec.recommend("u3", 5, query="title 38")
        assert "i38" not in ids(plain)
        assert ids(asked)[0] == "i38"
        assert asked.items[0].sources == ("query",)
        assert (plain.provenance.retriever, asked.provenance.retriever) == (
            "covisit+popular",
            "covisit+popular+query",
        )
        assert set(ids(asked)[1:]) & set(ids(plain))

    def test_bring_nothing_that_was_seen_or_blocked(self, store: SqliteStore, tiny_tokenizer_folder: Path) -> None:
        rec = recommender(store, tiny_tokenizer_folder, None, encoder=HashingEncoder(), retrieval=NARROW)
        store.block("u3", ["i38"])
        assert "i38" not in ids(rec.recommend("u3", 5, query="title 38"))
        assert "i4" not in ids(rec.recommend("u3", 5, query="title 4"))

    def test_order_the_callers_slate(self, store: SqliteStore, tiny_tokenizer_folder: Path) -> None:
        rec = recommender(store, tiny_tokenizer_folder, None, encoder=HashingEncoder())
        answer = rec.recommend("u3", 3, candidate_ids=("i20", "i30", "i37"), query="title 37")
        assert ids(answer)[0] == "i37"
        assert answer.provenance.retriever == "caller+query"

    def test_are_left_to_the_model_where_no_texts_are_fitted(
        self, store: SqliteStore, tiny_tokenizer_folder: Path
    ) -> None:
        rec = recommender(store, tiny_tokenizer_folder, None)
        plain, asked = rec.recommend("u3", 5), rec.recommend("u3", 5, query="title 38")
        assert plain.items == asked.items
        assert asked.provenance.retriever == "covisit+popular"


def test_a_slate_of_the_caller_has_the_probabilities_of_the_whole_pool(
    store: SqliteStore, tiny_tokenizer_folder: Path
) -> None:
    rec = recommender(store, tiny_tokenizer_folder, None)
    proposed = rec.slate(RecommendationRequest(user_id="u3", k=10))
    ids = tuple(candidate.item.id for candidate in proposed.candidates.items)
    given = rec.slate(RecommendationRequest(user_id="u3", k=10, candidate_ids=ids))
    assert [candidate.item.id for candidate in given.candidates.items] == list(ids)
    np.testing.assert_allclose(given.scores.p_click, proposed.scores.p_click, rtol=1e-6)


def test_blocks_and_conditions_hold_for_the_callers_slate(store: SqliteStore, tiny_tokenizer_folder: Path) -> None:
    rec = recommender(store, tiny_tokenizer_folder, ScriptedModel(block=16))
    store.block("u3", ["i20"])
    asked = {"candidate_ids": ("i20", "i21", "i22", "i23"), "exclude": ("i21",), "where": {"genres": "Comedy"}}
    answer = rec.recommend("u3", 10, **asked)
    assert ids(answer) == ["i23"]
    assert {item.item_id: item.reason for item in answer.dropped} == {
        "i20": "blocked",
        "i21": "excluded",
        "i22": "condition",
    }


@pytest.mark.parametrize("error", [WorkspaceError("the database is busy"), DataError("odd propensities")])
def test_a_store_that_cannot_log_does_not_cost_the_answer(
    store: SqliteStore, tiny_tokenizer_folder: Path, monkeypatch: pytest.MonkeyPatch, error: GenrecError
) -> None:
    def refuse(*_: Any) -> None:
        raise error

    monkeypatch.setattr(store, "log_exposure", refuse)
    assert len(recommender(store, tiny_tokenizer_folder, ScriptedModel(block=16)).recommend("u3", 5).items) == 5


def explored_lists(
    store: SqliteStore, tokenizer: Path, times: int, model: ScriptedModel | None = None, **exploration: Any
) -> list[Exposure]:
    rec = recommender(store, tokenizer, model, exploration=exploration, retrieval={**RETRIEVAL, "candidates": 4})
    for _ in range(times):
        rec.recommend("u3", 3)
    return list(store.exposures())


def test_explored_lists_come_as_often_as_their_log_says(
    store: SqliteStore, tiny_tokenizer_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = np.random.default_rng(0)  # request ids are the seeds
    monkeypatch.setattr("uuid.uuid4", lambda: uuid.UUID(bytes=numbers.bytes(16)))
    shown = explored_lists(store, tiny_tokenizer_folder, 400, temperature=2.0)
    counts = Counter(exposure.item_ids for exposure in shown)
    odds = {exposure.item_ids: exposure.prefix_propensities for exposure in shown}
    assert len(counts) > 12  # of 4 * 3 * 2
    for items, prefix in odds.items():
        assert prefix is not None
        assert counts[items] / 400 == pytest.approx(prefix[-1], abs=0.06)
        first = sum(count for other, count in counts.items() if other[0] == items[0])
        assert first / 400 == pytest.approx(prefix[0], abs=0.08)
    for place in range(3):
        at = {exposure.item_ids[place]: exposure.propensities[place] for exposure in shown if exposure.propensities}
        assert sum(at.values()) == pytest.approx(1.0)  # all four items were seen at every place


def test_an_explored_answer_says_what_was_shown(store: SqliteStore, tiny_tokenizer_folder: Path) -> None:
    rec = recommender(store, tiny_tokenizer_folder, ScriptedModel(block=16), exploration={"temperature": 5.0})
    lines, answer = asyncio.run(streamed(rec, RecommendationRequest(user_id="u3", k=6)))
    (exposure,) = store.exposures()
    assert lines == list(answer.items)
    assert [line.rank for line in answer.items] == [1, 2, 3, 4, 5, 6]
    assert list(exposure.item_ids) == ids(answer)
    assert exposure.propensities is not None
    assert len(exposure.propensities) == 6


@pytest.mark.parametrize("asked", [{"log_exposure": False}, {"policy": "annotate"}, {"policy": "veto"}])
def test_nothing_is_explored_in_vain(store: SqliteStore, tiny_tokenizer_folder: Path, asked: dict[str, Any]) -> None:
    exploring, plain = (
        recommender(store, tiny_tokenizer_folder, ScriptedModel(block=16), exploration={"temperature": temperature})
        for temperature in (5.0, 0.0)
    )
    request = RecommendationRequest(user_id="u3", k=6, **asked)
    lines, answer = asyncio.run(streamed(exploring, request))
    assert (lines, answer.items) == (list(plain.recommend("u3", 6, **asked).items), answer.items)
    assert all(exposure.propensities is None for exposure in store.exposures())


def test_without_exploration_the_order_is_that_of_the_scores(store: SqliteStore, tiny_tokenizer_folder: Path) -> None:
    shown = explored_lists(store, tiny_tokenizer_folder, 3, ScriptedModel(block=16))
    assert len({exposure.item_ids for exposure in shown}) == 1
    assert {(exposure.propensities, exposure.prefix_propensities) for exposure in shown} == {(None, None)}


def test_a_slate_without_items_is_not_explored(store: SqliteStore, tiny_tokenizer_folder: Path) -> None:
    rec = recommender(store, tiny_tokenizer_folder, None, exploration={"temperature": 1.0})
    assert rec.recommend("u3", 5, where={"genres": "Western"}).items == ()
    assert [exposure.item_ids for exposure in store.exposures()] == [()]


def test_equal_requests_give_equal_answers(store: SqliteStore, tiny_tokenizer_folder: Path) -> None:
    first, second = (
        recommender(store, tiny_tokenizer_folder, ScriptedModel(block=16), ranking={"ranker": "single_pass"}).recommend(
            "u7", 6
        )
        for _ in range(2)
    )
    assert first.items == second.items
    assert np.isfinite([line.value for line in first.items]).all()
