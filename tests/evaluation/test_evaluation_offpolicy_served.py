"""Lists that a recommender explored while serving judge the order that it would have shown without."""

import uuid

import numpy as np
import pytest

from genrec.data.sqlite.store import SqliteStore
from genrec.domain import Event
from genrec.evaluation.offpolicy.evaluate import evaluate_policies
from genrec.evaluation.offpolicy.policies import FUSED
from genrec.fitting.workspace import fit_log
from genrec.pipeline.recommender import Recommender
from genrec.settings import Settings

PLACES, LISTS = 3, 420
LOOKS = (0.9, 0.5, 0.2)


def attraction(user: str, item_id: str) -> float:
    """Nothing that the log knows: how much user and item fit is a matter of their numbers."""
    return 0.15 + 0.8 * ((7 * int(user[1:]) + int(item_id[1:])) % 5 == 0)


@pytest.fixture
def fitted(workspace):
    """On the log of the workspace, of which nobody clicked anything yet."""
    settings = Settings.load(workspace.settings_file)
    with SqliteStore(workspace.database) as store:
        return fit_log(store.interactions(), list(store.all_items()), settings, tune=False)


def recommender(fitted, store, settings, temperature=0.0):
    exploration = settings.exploration.model_copy(update={"temperature": temperature})
    return Recommender(
        store=store,
        retriever=fitted.blend,
        ranker=None,
        scorer=fitted.scorer,
        settings=settings.model_copy(update={"exploration": exploration}),
        version="1",
    )


@pytest.fixture
def numbered(monkeypatch):
    """Request ids, which are the seeds of exploration, that are the same in every run of a test."""
    numbers = np.random.default_rng(3)
    monkeypatch.setattr("uuid.uuid4", lambda: uuid.UUID(bytes=numbers.bytes(16)))


def serve(recommender, store):
    """Lists for users in turn, clicked as their places are looked at; the clicks are nobody's history."""
    generator = np.random.default_rng(0)
    for number in range(LISTS):
        user = f"u{number % 60}"
        answer = recommender.recommend(user, PLACES)
        for line, look in zip(answer.items, LOOKS, strict=True):
            if generator.random() < look * attraction(user, line.item.id):
                store.append([Event("clicker", line.item.id, 90_000.0 + number, request_id=answer.request_id)])


def test_the_value_of_the_order_without_exploration_is_in_its_interval(workspace, fitted, numbered, monkeypatch):
    monkeypatch.setattr("genrec.evaluation.offpolicy.evaluate.fitted_before", lambda *_, **__: fitted)
    settings = Settings.load(workspace.settings_file)
    with SqliteStore(workspace.database) as store:
        plain = recommender(fitted, store, settings)
        shown = {f"u{user}": plain.recommend(f"u{user}", PLACES, log_exposure=False).items for user in range(60)}
        truth = np.mean(
            [
                sum(look * attraction(user, line.item.id) for line, look in zip(lines, LOOKS, strict=True))
                for user, lines in shown.items()
            ]
        )
        serve(recommender(fitted, store, settings, temperature=0.5), store)
        result = evaluate_policies(store, settings, policies=[FUSED], cache_folder=workspace.root / "cache")
    assert result["lists"] == LISTS
    row = result["systems"][FUSED]
    for estimator in ("ips", "independent_ips", "reward_interaction_ips", "doubly_robust"):
        low, high = row[f"{estimator}_ci"]
        assert low <= truth <= high, (estimator, truth, row)
    low, high = row["independent_snips_ci"]
    assert high - low < 0.5 * truth  # an interval that says something
