"""Requests go to the arms of running experiments, and what was shown says so."""

from __future__ import annotations

import asyncio
import logging
import re
from collections import Counter
from pathlib import Path

import pytest

import genrec
from genrec.data.sqlite.store import SqliteStore
from genrec.domain import Event, Item, Recommendation
from genrec.experiments.assignment import LiveExperiments, drawn, reweigh, roll_back, start, stop
from genrec.experiments.recommender import RoutedRecommender
from genrec.experiments.router import Router, TemplateArms
from genrec.explanation.explain import Explained, converse
from genrec.llm.scripted import ScriptedModel
from genrec.pipeline.recommender import RecommendationRequest, Recommender
from genrec.prompting.library import TemplateLibrary
from genrec.prompting.tokenizer import load_tokenizer
from genrec.ranking.loading import load_ranker
from genrec.retrieval.tuning import fit_hybrid
from genrec.settings import ExperimentSettings, Settings
from scoring_factories import retrieval_scorer

CONTROL, OTHER = "rank/pointwise", "rank/pointwise.zh"
USERS = [f"u{number}" for number in range(12)]
TERSE = ExperimentSettings(arms={CONTROL: 1.0, OTHER: 1.0})


@pytest.fixture
def recommender(tmp_path: Path, tiny_tokenizer_folder: Path, monkeypatch: pytest.MonkeyPatch) -> RoutedRecommender:
    """On a small catalogue, with the arms that `RoutedRecommender.open` gives it."""
    store = SqliteStore(tmp_path / "genrec.db", create=True)
    store.put_items(Item(f"i{n}", f"Title {n}", {"genres": ("Comedy" if n % 2 else "Drama",)}) for n in range(20))
    store.append(
        [Event(user, f"i{(3 * n + step) % 20}", 10.0 * step) for n, user in enumerate(USERS) for step in (0, 1)]
    )
    retrieval = {"retrievers": ("popular",), "candidates": 6, "pool": 10}
    settings = Settings.load(None, {"retrieval": retrieval, "llm": {"read": "always"}})
    blend = fit_hybrid(store.interactions(), list(store.all_items()), settings=settings, tune=False)
    model, tokenizer = ScriptedModel(block=16), load_tokenizer(tiny_tokenizer_folder)
    monkeypatch.setattr(
        "genrec.experiments.router.ranker_for",
        lambda model, chosen: load_ranker(chosen.ranking, model, tokenizer, TemplateLibrary()),
    )
    ranker = load_ranker(settings.ranking, model, tokenizer, TemplateLibrary())
    made = Recommender(
        store=store,
        retriever=blend,
        ranker=ranker,
        scorer=retrieval_scorer(store, settings),
        settings=settings,
        version="v1",
        model=model,
    )
    return RoutedRecommender(made, Router(LiveExperiments(tmp_path, settings), TemplateArms(made)))


def arms(recommender: RoutedRecommender) -> dict[str, tuple[str | None, str]]:
    """Arm and template of an answer to each user."""
    answers = {user: recommender.recommend(user, 3).provenance for user in USERS}
    assert all(made.fallback is None and made.template for made in answers.values())
    return {
        user: (made.assignment and made.assignment.arm, made.template.id)  # type: ignore[union-attr]
        for user, made in answers.items()
    }


def test_without_experiments_nothing_is_said(recommender: RoutedRecommender) -> None:
    assert set(arms(recommender).values()) == {(None, CONTROL)}
    assert all(exposure.assignment is None for exposure in recommender.store.exposures())


def test_each_user_is_answered_and_logged_by_the_template_of_their_arm(
    recommender: RoutedRecommender, tmp_path: Path
) -> None:
    start(tmp_path, recommender.default.settings, "terse", TERSE)
    found = arms(recommender)
    assert found == {user: (drawn("terse", TERSE, user),) * 2 for user in USERS}
    assert set(found.values()) == {(CONTROL, CONTROL), (OTHER, OTHER)}
    for exposure in recommender.store.exposures():
        assert exposure.assignment is not None
        assert exposure.assignment.experiment == "terse"
        assert exposure.assignment.shares == {CONTROL: 0.5, OTHER: 0.5}
        assert exposure.template_id == exposure.assignment.arm == found[str(exposure.user_id)][0]
        assert exposure.template_hash == TemplateLibrary().get(exposure.assignment.arm).hash


def test_changes_hold_from_the_next_request_on(recommender: RoutedRecommender, tmp_path: Path) -> None:
    settings = recommender.default.settings
    start(tmp_path, settings, "terse", TERSE)
    assert len(set(arms(recommender).values())) == 2
    reweigh(tmp_path, settings, "terse", {CONTROL: 0.0})
    assert set(arms(recommender).values()) == {(OTHER, OTHER)}
    roll_back(tmp_path, settings)
    assert set(arms(recommender).values()) == {(CONTROL, CONTROL)}
    stop(tmp_path, settings, "terse")
    assert set(arms(recommender).values()) == {(None, CONTROL)}


def test_a_caller_without_a_name_gets_the_control_and_is_not_logged(
    recommender: RoutedRecommender, tmp_path: Path
) -> None:
    start(tmp_path, recommender.default.settings, "terse", ExperimentSettings(arms={OTHER: 1.0, CONTROL: 99.0}))
    made = recommender.recommend(None, 3).provenance
    assert made.assignment is not None
    assert made.assignment.arm == OTHER
    assert not list(recommender.store.exposures())


@pytest.mark.parametrize("arm", ["rank/gone", "@mine", "explain/reasons"])
def test_an_arm_that_cannot_be_served_gives_the_default_and_the_log_says_why_once(
    recommender: RoutedRecommender, tmp_path: Path, caplog: pytest.LogCaptureFixture, arm: str
) -> None:
    start(tmp_path, recommender.default.settings, "terse", ExperimentSettings(arms={CONTROL: 1.0, arm: 1.0}))
    with caplog.at_level(logging.ERROR, "genrec"):
        counts = Counter(arms(recommender).values())
    assert set(counts) == {(CONTROL, CONTROL), (None, CONTROL)}
    assert caplog.text.count(f"the arm {arm} cannot be served") == 1


def test_leaving_the_stream_of_an_arm_stops_the_model(recommender: RoutedRecommender, tmp_path: Path) -> None:
    start(tmp_path, recommender.default.settings, "terse", TERSE)
    started, stopped = asyncio.Event(), asyncio.Event()

    async def read(*_: object, **__: object) -> None:
        started.set()
        try:
            await asyncio.sleep(60)
        finally:
            stopped.set()

    recommender.default.model.score_tokens = read  # type: ignore[union-attr, method-assign, assignment]

    async def leave() -> None:
        task = asyncio.create_task(recommender.arecommend(RecommendationRequest(user_id="u1")))
        await started.wait()
        task.cancel()
        await stopped.wait()
        assert task.cancelling()

    asyncio.run(leave())


def test_a_stream_of_an_arm_is_its_answer(recommender: RoutedRecommender, tmp_path: Path) -> None:
    start(tmp_path, recommender.default.settings, "terse", TERSE)

    async def parts() -> list[object]:
        return [part async for part in recommender.stream(RecommendationRequest(user_id="u2", k=4))]

    *lines, answer = asyncio.run(parts())
    assert isinstance(answer, Recommendation)
    assert lines == list(answer.items)


HAN = re.compile("[\u4e00-\u9fff]")


def has_chinese_words(explained: Explained) -> bool:
    """Whether all reasons have Chinese words (True), or none (False)."""
    (found,) = {bool(HAN.search(text)) for texts in explained.reasons.values() for text in texts}
    return found


def test_an_answer_is_explained_by_the_arm_that_gave_it(recommender: RoutedRecommender, tmp_path: Path) -> None:
    start(tmp_path, recommender.default.settings, "terse", TERSE)
    for user in USERS:
        request = RecommendationRequest(user_id=user, k=3)
        chinese = drawn("terse", TERSE, user) == OTHER
        answer, explained = recommender.default.run(recommender.explained(request, "words"))
        assert explained is not None
        assert answer.provenance.assignment is not None
        assert has_chinese_words(explained) is chinese
        assert explained.account.language == ("zh" if chinese else "en")
        assert recommender.default.run(recommender.explain(request, answer)) == explained
        assert recommender.default.run(recommender.explain(request, answer, "words", converse)) == explained


def test_an_answer_is_explained_by_its_arm_after_the_experiment_has_ended(
    recommender: RoutedRecommender, tmp_path: Path
) -> None:
    settings = recommender.default.settings
    request = RecommendationRequest(user_id="u1", k=3)
    before = recommender.recommend("u1", 3)
    start(tmp_path, settings, "terse", ExperimentSettings(arms={OTHER: 1.0}))
    during = recommender.recommend("u1", 3)
    assert not has_chinese_words(recommender.default.run(recommender.explain(request, before)))
    stop(tmp_path, settings, "terse")
    assert has_chinese_words(recommender.default.run(recommender.explain(request, during)))


def test_the_public_recommender_routes_and_its_pipeline_knows_no_experiments(
    recommender: RoutedRecommender, tmp_path: Path
) -> None:
    assert genrec.Recommender is RoutedRecommender
    start(tmp_path, recommender.default.settings, "terse", ExperimentSettings(arms={OTHER: 1.0}))
    made = recommender.default.recommend("u1", 3).provenance
    assert (made.assignment, made.template and made.template.id) == (None, CONTROL)
