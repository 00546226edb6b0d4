"""A server's recommenders follow experiments without a restart; callers who name a template or adapter get it."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from genrec.artifacts import adapters
from genrec.artifacts.workspace import Workspace
from genrec.data.sqlite.store import SqliteStore
from genrec.domain import Event, Item
from genrec.experiments.assignment import drawn, reweigh, roll_back, start, stop
from genrec.llm.base import LanguageModel
from genrec.llm.scripted import ScriptedModel
from genrec.pipeline.recommender import RecommendationRequest
from genrec.serving.models import ServedAdapters, ServedModels
from genrec.serving.plugin import GenrecEndpoints
from genrec.serving.state import Live
from genrec.settings import ExperimentSettings, Settings
from support import genrec

DEFAULT, OTHER = "rank/pointwise", "rank/pointwise.zh"
USERS = [f"u{number}" for number in range(8)]
ARMS = ExperimentSettings(arms={DEFAULT: 1.0, OTHER: 1.0, "@mine": 1.0})


class Engine(ScriptedModel):
    """Any folder is an adapter."""

    def __init__(self, adapter: str | None = None) -> None:
        super().__init__(block=16)
        self.adapter = adapter

    async def with_adapter(self, folder: Path) -> LanguageModel:
        return Engine(adapters.label(folder))


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer_folder: Path) -> Workspace:
    """Fitted, with an adapter `mine`."""
    folder = tmp_path_factory.mktemp("experiments")
    model = folder / "model"
    shutil.copytree(tiny_tokenizer_folder, model)
    (model / "config.json").write_text("{}")
    made = Workspace.create(folder / "workspace")
    with SqliteStore(made.database, create=True) as store:
        store.put_items(Item(f"i{number}", f"Title {number}") for number in range(20))
        store.append(
            [
                Event(f"u{user}", f"i{(user + step) % 20}", 10.0 * step, "watch")
                for user in range(20)
                for step in range(6)
            ]
        )
    made.settings_file.write_text(
        f'[model]\nname = {json.dumps(str(model))}\n[encoder]\nname = "hashing"\n[llm]\nread = "always"\n'
        '[retrieval]\nretrievers = ["covisit", "popular"]\npool = 12\ncandidates = 6\n'
    )
    genrec(["fit", "--workspace", str(made.root), "--no-tune", "--llm-slates", "0"])
    with adapters.publish(made.root, "mine") as staging:
        for file in adapters.WEIGHTS:
            (staging / file).write_text("{}")
    return made


@pytest.fixture
def live(workspace: Workspace) -> Live:
    (workspace.root / "experiments.json").unlink(missing_ok=True)
    models = ServedModels(workspace.root, ServedAdapters(("mine",), live=True), Engine())
    return Live(workspace, Settings.load(workspace.settings_file), models)


def answers(live: Live, template: str | None = None, adapter: str | None = None) -> dict[str, tuple[str | None, ...]]:
    """Arm, template and adapter of an answer to each user, as the routes get it."""

    async def ask() -> dict[str, tuple[str | None, ...]]:
        found = {}
        for user in USERS:
            recommender, request = await live.route(RecommendationRequest(user_id=user, k=3), template, adapter)
            made = (await recommender.arecommend(request)).provenance
            assert made.fallback is None
            adapter_name = made.adapter and made.adapter.partition("@")[0]
            found[user] = (made.assignment and made.assignment.arm, made.template and made.template.id, adapter_name)
        return found

    return asyncio.run(ask())


def test_arms_of_templates_and_adapters_change_without_a_restart(live: Live, workspace: Workspace) -> None:
    settings = Settings.load(workspace.settings_file)
    assert set(answers(live).values()) == {(None, DEFAULT, "mine")}
    start(workspace.root, settings, "terse", ARMS)
    served = {DEFAULT: (DEFAULT, DEFAULT, "mine"), OTHER: (OTHER, OTHER, "mine"), "@mine": ("@mine", DEFAULT, "mine")}
    assert answers(live) == {user: served[str(drawn("terse", ARMS, user))] for user in USERS}
    reweigh(workspace.root, settings, "terse", {DEFAULT: 0.0, "@mine": 0.0})
    assert set(answers(live).values()) == {(OTHER, OTHER, "mine")}
    roll_back(workspace.root, settings)
    assert set(answers(live).values()) == {(DEFAULT, DEFAULT, "mine")}
    stop(workspace.root, settings, "terse")
    assert set(answers(live).values()) == {(None, DEFAULT, "mine")}


def test_an_adapter_may_be_compared_with_the_base(live: Live, workspace: Workspace) -> None:
    settings = Settings.load(workspace.settings_file)
    start(workspace.root, settings, "tuned", ExperimentSettings(arms={"@base": 1.0, "@mine": 1.0}))
    found = set(answers(live).values())
    assert found == {("@base", DEFAULT, None), ("@mine", DEFAULT, "mine")}
    with SqliteStore(workspace.database) as store:
        logged = [one.assignment for one in store.exposures() if one.assignment]
    assert {one.arm for one in logged if one.experiment == "tuned"} == {"@base", "@mine"}


def test_callers_who_name_a_template_or_an_adapter_are_in_no_experiment(live: Live, workspace: Workspace) -> None:
    start(workspace.root, Settings.load(workspace.settings_file), "terse", ARMS)
    assert set(answers(live, template="rank/listwise").values()) == {(None, "rank/listwise", "mine")}
    assert set(answers(live, adapter="base").values()) == {(None, DEFAULT, None)}


HAN = re.compile("[\u4e00-\u9fff]")


@pytest.fixture
def client(live: Live) -> TestClient:
    """genrec's routes, without the gate."""
    app = FastAPI()
    app.add_api_route("/v1/chat/completions", lambda: None, methods=["GET"])
    GenrecEndpoints().attach_router(app)
    app.state.genrec = live
    return TestClient(app)


def test_reasons_over_http_are_those_of_the_arm_that_answers(client: TestClient, workspace: Workspace) -> None:
    languages = ExperimentSettings(arms={DEFAULT: 1.0, OTHER: 1.0})
    start(workspace.root, Settings.load(workspace.settings_file), "languages", languages)
    drawn_arms = {user: drawn("languages", languages, user) for user in USERS}
    assert set(drawn_arms.values()) == {DEFAULT, OTHER}
    for user, arm in drawn_arms.items():
        options = {"k": 3, "explain": "words"}
        chat = {"model": "genrec", "user": user, "messages": [{"role": "user", "content": ""}], "genrec": options}
        answer = client.post("/v1/recommendations", json={"user_id": user, **options}).json()
        completion = client.post("/v1/chat/completions", json=chat).json()
        streamed = client.post("/v1/chat/completions", json={**chat, "stream": True}).text
        chunks = [json.loads(line[6:]) for line in streamed.splitlines() if line.startswith("data: {")]
        (last,) = [chunk["genrec"] for chunk in chunks if "genrec" in chunk]
        for found in (answer, completion["genrec"], last):
            assert found["provenance"]["assignment"]["arm"] == arm
            reasons = [text for item in found["items"] for text in item["reasons"]]
            assert {bool(HAN.search(text)) for text in reasons} == {arm == OTHER}
