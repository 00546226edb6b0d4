"""Reasons over HTTP, in recommendations and in conversations; the engine is scripted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from explanation_factories import TITLES, small_recommender
from genrec.errors import GenrecError
from genrec.experiments.router import Route
from genrec.llm.scripted import ScriptedModel
from genrec.pipeline.recommender import RecommendationRequest, Recommender
from genrec.serving import chat, routes
from genrec.serving.errors import on_genrec_error

SAID = "You liked Alien a lot."


class Live:
    """Stands for the live recommenders of a server."""

    models = SimpleNamespace(names=["mine", "base"])

    def __init__(self, recommender: Recommender) -> None:
        self._recommender = recommender

    async def recommender(self, template: str | None = None, adapter: str | None = None) -> Recommender:
        return self._recommender

    async def route(self, request: RecommendationRequest, *_: str | None, **__: str | None) -> Route:
        return Route(self._recommender, request)


class EngineModels:
    """Stands for vLLM's list of models."""

    async def show_available_models(self) -> Any:
        return SimpleNamespace(model_dump=lambda: {"object": "list", "data": [{"id": "smollm"}]})


@pytest.fixture
def model() -> ScriptedModel:
    return ScriptedModel(text=f"1. {SAID}\n2. {SAID}")


@pytest.fixture
def client(tmp_path: Path, tiny_tokenizer_folder: Path, model: ScriptedModel) -> Iterator[TestClient]:
    app = FastAPI()

    @app.post(chat.PATH)
    async def engine() -> str:
        return "the engine's own"

    chat.attach(app)
    app.router.routes.insert(0, app.router.routes.pop())  # in front of the engine's, as in the server
    app.include_router(routes.router)
    app.add_exception_handler(GenrecError, on_genrec_error)  # type: ignore[arg-type]
    app.state.genrec = Live(small_recommender(tmp_path, tiny_tokenizer_folder, model))
    app.state.openai_serving_models = EngineModels()
    with TestClient(app) as client:
        yield client


def recommended(client: TestClient, **body: Any) -> dict[str, Any]:
    answer = client.post("/v1/recommendations", json={"user_id": "u0", "k": 2, **body})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_a_header_names_the_request_as_the_body_does(client: TestClient) -> None:
    answer = client.post("/v1/recommendations", json={"user_id": "u0", "k": 2})
    assert answer.headers["X-Request-Id"] == answer.json()["request_id"]
    said = client.post(chat.PATH, json=conversation())
    assert said.headers["X-Request-Id"] == said.json()["genrec"]["request_id"] == said.json()["id"]
    streamed = client.post(chat.PATH, json={**conversation(), "stream": True})
    last = json.loads(streamed.text.strip().split("\n\n")[-2].removeprefix("data: "))
    assert streamed.headers["X-Request-Id"] == last["genrec"]["request_id"]
    assert len({reply.headers["X-Request-Id"] for reply in (answer, said, streamed)}) == 3


def test_an_unknown_model_is_told_which_there_are(client: TestClient) -> None:
    unknown = client.post(chat.PATH, json={**conversation(), "model": "gpt-9"})
    assert unknown.status_code == 404
    message = unknown.json()["error"]["message"]
    assert "there is no model 'gpt-9'" in message
    assert "genrec, genrec@mine, genrec@base, genrec/TEMPLATE, smollm" in message
    engines_own = client.post(chat.PATH, json={**conversation(), "model": "smollm"})
    assert (engines_own.status_code, engines_own.json()) == (200, "the engine's own")
    assert client.post(chat.PATH, json={"messages": []}).json() == "the engine's own"  # it has a default


def conversation(**genrec: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": "something light"}]
    return {"model": "genrec", "messages": messages, "user": "u0", "genrec": {"k": 2, **genrec}}


def test_recommendations_give_reasons_when_asked(client: TestClient) -> None:
    plain = recommended(client)
    assert "reasons" not in plain["items"][0]
    assert "explanation" not in plain["provenance"]
    words = recommended(client, explain="words")
    assert all(line["reasons"] for line in words["items"])
    told = recommended(client, explain="model")
    for line, same in zip(told["items"], words["items"], strict=True):
        assert line["reasons"] == [SAID, *same["reasons"]]
    account = told["provenance"]["explanation"]
    assert account["template"]["id"] == "explain/reasons"
    assert account["written"] == [line["item_id"] for line in told["items"]]
    assert client.post("/v1/recommendations", json={"explain": "why"}).status_code == 400


def test_a_conversation_is_in_the_models_words_where_they_stand(client: TestClient, model: ScriptedModel) -> None:
    def text(**genrec: Any) -> str:
        answer = client.post(chat.PATH, json=conversation(**genrec))
        assert answer.status_code == 200, answer.text
        return str(answer.json()["choices"][0]["message"]["content"])

    assert len(text().splitlines()) == 2
    assert ": " in text(explain="words").splitlines()[0]
    model.text = "I would begin with what is like Alien."
    assert text(explain="model") == model.text
    model.text = "I would begin with Solaris Forever."
    assert text(explain="model") == text(explain="words")


@pytest.mark.parametrize(("how", "said"), [("words", ": "), ("model", "what is like Alien")])
def test_a_stream_says_the_same(client: TestClient, model: ScriptedModel, how: str, said: str) -> None:
    model.text = "I would begin with what is like Alien.\nThen the other."
    whole = client.post(chat.PATH, json=conversation(explain=how)).json()
    streamed = client.post(chat.PATH, json={**conversation(explain=how), "stream": True})
    events = [json.loads(line[6:]) for line in streamed.text.split("\n\n") if line.startswith("data: {")]
    text = "".join(event["choices"][0]["delta"].get("content", "") for event in events)
    assert text == whole["choices"][0]["message"]["content"]
    assert said in text
    last = events[-1]["genrec"]
    assert [line["reasons"] for line in last["items"]] == [line["reasons"] for line in whole["genrec"]["items"]]
    assert any(title in TITLES for title in (line["title"] for line in last["items"]))
