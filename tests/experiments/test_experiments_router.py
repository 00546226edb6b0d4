"""Requests go to the arms of running experiments, and what was shown says so."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from pathlib import Path

import pytest

from genrec.data.sqlite.store import SqliteStore
from genrec.domain import Event, Item, Recommendation
from genrec.experiments.assignment import LiveExperiments, drawn, reweigh, roll_back, start, stop
from genrec.experiments.router import Arms, TemplateArms
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
def recommender(tmp_path: Path, tiny_tokenizer_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Recommender:
    """On a small catalogue, with the arms that `Recommender.open` gives it."""
    store = SqliteStore(tmp_path / "genrec.db", create=True)
    store.put_items(Item(f"i{n}", f"Title {n}", {"genres": ("Comedy" if n % 2 else "Drama",)}) for n in range(20))
    store.append(
        [Event(user, f"i{(3 * n + step) % 20}", 10.0 * step) for n, user in enumerate(USERS) for step in (0, 1)]
    )
    settings = Settings.load(None, {"retrieval": {"retrievers": ("popular",), "candidates": 6, "pool": 10}})
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
    made.arms = Arms(LiveExperiments(tmp_path, settings), TemplateArms(made))
    return made


def arms(recommender: Recommender) -> dict[str, tuple[str | None, str]]:
    """Arm and template of an answer to each user."""
    answers = {user: recommender.recommend(user, 3).provenance for user in USERS}
    assert all(made.fallback is None and made.template for made in answers.values())
    return {
        user: (made.assignment and made.assignment.arm, made.template.id)  # type: ignore[union-attr]
        for user, made in answers.items()
    }


def test_without_experiments_nothing_is_said(recommender: Recommender) -> None:
    assert set(arms(recommender).values()) == {(None, CONTROL)}
    assert all(exposure.assignment is None for exposure in recommender.store.exposures())


def test_each_user_is_answered_and_logged_by_the_template_of_his_arm(recommender: Recommender, tmp_path: Path) -> None:
    start(tmp_path, recommender.settings, "terse", TERSE)
    found = arms(recommender)
    assert found == {user: (drawn("terse", TERSE, user),) * 2 for user in USERS}
    assert set(found.values()) == {(CONTROL, CONTROL), (OTHER, OTHER)}
    for exposure in recommender.store.exposures():
        assert exposure.assignment is not None
        assert exposure.assignment.experiment == "terse"
        assert exposure.assignment.shares == {CONTROL: 0.5, OTHER: 0.5}
        assert exposure.template_id == exposure.assignment.arm == found[str(exposure.user_id)][0]
        assert exposure.template_hash == TemplateLibrary().get(exposure.assignment.arm).hash


def test_changes_hold_from_the_next_request_on(recommender: Recommender, tmp_path: Path) -> None:
    settings = recommender.settings
    start(tmp_path, settings, "terse", TERSE)
    assert len(set(arms(recommender).values())) == 2
    reweigh(tmp_path, settings, "terse", {CONTROL: 0.0})
    assert set(arms(recommender).values()) == {(OTHER, OTHER)}
    roll_back(tmp_path, settings)
    assert set(arms(recommender).values()) == {(CONTROL, CONTROL)}
    stop(tmp_path, settings, "terse")
    assert set(arms(recommender).values()) == {(None, CONTROL)}


def test_a_caller_without_a_name_gets_the_control_and_is_not_logged(recommender: Recommender, tmp_path: Path) -> None:
    start(tmp_path, recommender.settings, "terse", ExperimentSettings(arms={OTHER: 1.0, CONTROL: 99.0}))
    made = recommender.recommend(None, 3).provenance
    assert made.assignment is not None
    assert made.assignment.arm == OTHER
    assert not list(recommender.store.exposures())


@pytest.mark.parametrize("arm", ["rank/gone", "@mine", "explain/reasons"])
def test_an_arm_that_cannot_be_served_gives_the_default_and_the_log_says_why_once(
    recommender: Recommender, tmp_path: Path, caplog: pytest.LogCaptureFixture, arm: str
) -> None:
    start(tmp_path, recommender.settings, "terse", ExperimentSettings(arms={CONTROL: 1.0, arm: 1.0}))
    with caplog.at_level(logging.ERROR, "genrec"):
        counts = Counter(arms(recommender).values())
    assert set(counts) == {(CONTROL, CONTROL), (None, CONTROL)}
    assert caplog.text.count(f"the arm {arm} cannot be served") == 1


def test_leaving_the_stream_of_an_arm_stops_the_model(recommender: Recommender, tmp_path: Path) -> None:
    start(tmp_path, recommender.settings, "terse", TERSE)
    started, stopped = asyncio.Event(), asyncio.Event()

    async def read(*_: object, **__: object) -> None:
        started.set()
        try:
            await asyncio.sleep(60)
        finally:
            stopped.set()

    recommender.model.read = read  # type: ignore[union-attr, method-assign, assignment]

    async def leave() -> None:
        task = asyncio.create_task(recommender.arecommend(RecommendationRequest(user_id="u1")))
        await started.wait()
        task.cancel()
        await stopped.wait()
        assert task.cancelling()

    asyncio.run(leave())


def test_a_stream_of_an_arm_is_its_answer(recommender: Recommender, tmp_path: Path) -> None:
    start(tmp_path, recommender.settings, "terse", TERSE)

    async def parts() -> list[object]:
        return [part async for part in recommender.stream(RecommendationRequest(user_id="u2", k=4))]

    *lines, answer = asyncio.run(parts())
    assert isinstance(answer, Recommendation)
    assert lines == list(answer.items)
