"""Adapters side by side on a running server, their versions, and what is left when the engine dies.

The tests stand in an order: versions change in the middle, and the last one kills the engine.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

pytest.importorskip("vllm")

from serving_factories import USERS, make_workspace, publish_adapter, tiny_model

from genrec.artifacts import adapters
from genrec.pipeline.recommender import Recommender
from genrec.ranking.loading import llm_ranker_key_in, llm_ranker_key_of
from genrec.settings import Settings
from support import Served, serving


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer_folder: Path) -> Path:
    return tiny_model(tmp_path_factory.mktemp("tiny-model"), tiny_tokenizer_folder)


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Iterator[tuple[Served, list[str]]]:
    """A server with the adapters `first` and `second`, and their labels."""
    folder = tmp_path_factory.mktemp("tuned")
    root = make_workspace(folder / "workspace", model).root
    labels = [
        publish_adapter(root, "first", model, 1),
        publish_adapter(root, "second", model, 2, template="rank/earlier"),
    ]
    with serving(root, "--adapter", "first", "--adapter", "second", log=folder / "serve.log") as server:
        yield server, labels


@pytest.fixture
def http(tuned: tuple[Served, list[str]]) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=tuned[0].base, timeout=120) as client:
        yield client


def asked(http: httpx.Client, user: str, **more: Any) -> dict[str, Any]:
    answer = http.post("/v1/recommendations", json={"user_id": user, "k": 8, **more})
    assert answer.status_code == 200, answer.text
    assert answer.json()["provenance"]["fallback"] is None
    return answer.json()  # type: ignore[no-any-return]


def lists(http: httpx.Client, **more: Any) -> list[list[str]]:
    return [[item["item_id"] for item in asked(http, user, **more)["items"]] for user in USERS]


def in_process(root: Path, policies: Sequence[str], **model: str) -> list[list[list[str]]]:
    """What `lists` has, for each policy, by the engine of this process."""
    settings = adapters.resolved(root, Settings.load(root / "genrec.toml", {"model": model}))
    recommender = Recommender.open(root, settings)
    try:
        assert recommender.model is not None
        assert recommender.ranker is not None
        # By this name a fit keeps what it learned of them, before anything is loaded.
        assert llm_ranker_key_in(settings) == llm_ranker_key_of(recommender.model, recommender.ranker)
        answers = [
            [recommender.recommend(user, 8, policy=policy, log_exposure=False) for user in USERS] for policy in policies
        ]
    finally:
        recommender.close()
    assert all(answer.provenance.fallback is None for row in answers for answer in row)
    return [[[line.item.id for line in answer.items] for answer in row] for row in answers]


def test_each_is_a_chat_model_and_a_field(http: httpx.Client, tuned: tuple[Served, list[str]]) -> None:
    names = [model["id"] for model in http.get("/v1/models").json()["data"]]
    assert {"genrec", "genrec@first", "genrec@second", "genrec@base", "genrec/rank/pointwise"} <= set(names)
    first, second = tuned[1]
    for name, wanted in [(None, first), ("first", first), ("second", second), ("base", None), ("", None)]:
        assert asked(http, "u1", adapter=name)["provenance"]["adapter"] == wanted
    for name, wanted in [("genrec", first), ("genrec@second", second), ("genrec@base", None)]:
        body = {"model": name, "user": "u1", "messages": [{"role": "user", "content": "hi"}]}
        assert http.post("/v1/chat/completions", json=body).json()["genrec"]["provenance"]["adapter"] == wanted
    body = {"model": "genrec/rank/listwise@second", "user": "u1", "messages": [{"role": "user", "content": "hi"}]}
    made = http.post("/v1/chat/completions", json=body).json()["genrec"]["provenance"]
    assert (made["adapter"], made["template"]["id"]) == (second, "rank/listwise")


def test_an_unknown_one_is_answered_with_those_there_are(http: httpx.Client) -> None:
    answer = http.post("/v1/recommendations", json={"user_id": "u1", "adapter": "third"})
    assert answer.status_code == 404
    assert "first, second, base" in answer.json()["error"]["message"]
    chat = {"model": "genrec@third", "messages": [{"role": "user", "content": "hi"}]}
    assert http.post("/v1/chat/completions", json=chat).status_code == 404
    chat |= {"model": "genrec@first", "genrec": {"adapter": "second"}}
    assert http.post("/v1/chat/completions", json=chat).status_code == 400


def test_served_together_they_answer_as_alone(http: httpx.Client) -> None:
    alone = {name: lists(http, adapter=name) for name in ("first", "second", "base")}
    assert alone["first"] != alone["second"] != alone["base"] != alone["first"]
    wanted = [(name, user) for user in USERS for name in alone]
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda each: asked(http, each[1], adapter=each[0]), wanted))
    for (name, user), answer in zip(wanted, answers, strict=True):
        assert [item["item_id"] for item in answer["items"]] == alone[name][USERS.index(user)]


def test_offline_equals_served(http: httpx.Client, tuned: tuple[Served, list[str]]) -> None:
    root = tuned[0].workspace
    policies = ("annotate", "fuse")
    for name in ("base", "second"):
        served = [lists(http, adapter=name, policy=policy) for policy in policies]
        assert served == in_process(root, policies, adapter=name)


def test_another_template_than_the_one_tuned_on_is_a_warning(tuned: tuple[Served, list[str]]) -> None:
    lines = [line for line in tuned[0].log.read_text("utf-8").splitlines() if "was tuned on" in line]
    assert len(lines) >= 2  # on the console before the start, and in the log of the server
    assert all("'second'" in line and "rank/earlier" in line and "rank/pointwise" in line for line in lines[:2])


def test_a_new_version_goes_live_and_a_broken_one_does_not(
    http: httpx.Client, tuned: tuple[Served, list[str]], model: Path
) -> None:
    root = tuned[0].workspace
    before, other = lists(http, adapter="first"), lists(http, adapter="second")
    newer = publish_adapter(root, "first", model, 3)
    assert asked(http, "u1")["provenance"]["adapter"] == newer != tuned[1][0]
    after = lists(http, adapter="first")
    assert after != before
    assert lists(http, adapter="second") == other
    publish_adapter(root, "first", model, 4, rank=64)  # greater than what the engine was started for
    assert asked(http, "u1")["provenance"]["adapter"] == newer
    assert lists(http, adapter="first") == after
    assert f"{newer} stays in use" in tuned[0].log.read_text("utf-8")


def test_when_the_engine_dies_the_answers_go_on_without_it(http: httpx.Client, tuned: tuple[Served, list[str]]) -> None:
    import psutil

    children = psutil.Process(tuned[0].process.pid).children(recursive=True)
    (engine,) = [child for child in children if "EngineCore" in " ".join([child.name(), *child.cmdline()])]
    with ThreadPoolExecutor(8) as pool:
        running = [pool.submit(http.post, "/v1/recommendations", json={"user_id": user, "k": 8}) for user in USERS]
        engine.send_signal(signal.SIGKILL)
        during = [answer.result() for answer in running]
    assert {answer.status_code for answer in during} == {200}
    for name in ("first", "second", "base"):
        answer = http.post("/v1/recommendations", json={"user_id": "u1", "k": 8, "adapter": name}).json()
        assert answer["provenance"]["fallback"] == "engine"
        assert len(answer["items"]) == 8
    health = http.get("/health")
    assert (health.status_code, health.json()["error"]["message"]) == (503, "the engine is down")
    assert http.post("/v1/events", json={"user_id": "u1", "item_id": "i20"}).json()["new"] == 1
