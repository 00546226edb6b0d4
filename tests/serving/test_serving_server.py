"""The running server, through the official OpenAI client and plain HTTP."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import openai
import pytest
from openai import OpenAI

from genrec.data.sqlite.store import SqliteStore
from support import Served

pytestmark = pytest.mark.model

USER = "127"


@pytest.fixture
def client(served: Served) -> OpenAI:
    return OpenAI(base_url=f"{served.base}/v1", api_key=served.key, max_retries=0)


@pytest.fixture
def http(served: Served) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {served.key}"}
    with httpx.Client(base_url=served.base, headers=headers, timeout=120) as client:
        yield client


LISTED = {"k": 3, "policy": "annotate"}
"""Nobody weighed this ranker, so that it is read only where its own order is the answer."""


class TestOpenAIClient:
    def test_models(self, client: OpenAI) -> None:
        names = [model.id for model in client.models.list()]
        assert names[0] == "genrec"
        assert {"genrec/rank/pointwise", "genrec/rank/listwise", "smollm2-135m"} <= set(names)

    def test_chat(self, client: OpenAI) -> None:
        answer = client.chat.completions.create(
            model="genrec",
            user=USER,
            messages=[{"role": "user", "content": "something light"}],
            extra_body={"genrec": {"k": 4}},
        )
        full = answer.model_extra["genrec"]  # type: ignore[index]
        lines = (answer.choices[0].message.content or "").splitlines()
        assert answer.choices[0].finish_reason == "stop"
        assert len(lines) == len(full["items"]) == 4
        assert all(item["title"] in line for item, line in zip(full["items"], lines, strict=True))
        assert full["user_id"] == USER
        assert answer.id == full["request_id"]
        assert answer.usage is not None
        assert answer.usage.prompt_tokens > 100

    def test_streaming_gives_the_same(self, client: OpenAI) -> None:
        options = {"model": "genrec", "user": USER, "messages": [{"role": "user", "content": "something light"}]}
        whole = client.chat.completions.create(**options)  # type: ignore[call-overload]
        chunks = list(client.chat.completions.create(**options, stream=True, stream_options={"include_usage": True}))  # type: ignore[call-overload]
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        assert text == whole.choices[0].message.content
        assert chunks[0].choices[0].delta.role == "assistant"
        assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
        assert chunks[-1].usage.total_tokens > 100

    def test_another_template_brings_the_ranker_that_reads_it(self, client: OpenAI) -> None:
        ask = {"user": USER, "messages": [{"role": "user", "content": "hi"}], "extra_body": {"genrec": LISTED}}
        answer = client.chat.completions.create(model="genrec/rank/listwise", **ask)  # type: ignore[call-overload]
        made = answer.model_extra["genrec"]["provenance"]
        assert (made["ranker"], made["template"]["id"], made["fallback"]) == ("listwise", "rank/listwise", None)
        with pytest.raises(openai.NotFoundError, match="nonsense"):
            client.chat.completions.create(model="genrec/rank/nonsense", **ask)  # type: ignore[call-overload]

    def test_the_base_model_stays_reachable(self, client: OpenAI) -> None:
        answer = client.chat.completions.create(
            model="smollm2-135m", messages=[{"role": "user", "content": "Say hello."}], max_tokens=5, temperature=0
        )
        assert answer.choices[0].message.content
        assert answer.model == "smollm2-135m"
        chunks = list(
            client.chat.completions.create(
                model="smollm2-135m", messages=[{"role": "user", "content": "Say hello."}], max_tokens=3, stream=True
            )
        )
        assert chunks[-1].choices[0].finish_reason == "length"

    def test_an_error_of_the_request_is_an_error_when_streaming_too(self, client: OpenAI) -> None:
        with pytest.raises(openai.NotFoundError):
            client.chat.completions.create(
                model="genrec",
                messages=[{"role": "user", "content": "hi"}],
                stream=True,
                extra_body={"genrec": {"candidate_ids": ["no-such"]}},
            )

    def test_errors_in_openai_form(self, client: OpenAI, served: Served) -> None:
        with pytest.raises(openai.NotFoundError):
            client.chat.completions.create(model="no-such-model", messages=[{"role": "user", "content": "hi"}])
        with pytest.raises(openai.BadRequestError) as error:
            client.chat.completions.create(
                model="genrec", messages=[{"role": "user", "content": "hi"}], extra_body={"genrec": {"k": 0}}
            )
        assert error.value.param == "genrec.k"
        with pytest.raises(openai.AuthenticationError):
            OpenAI(base_url=f"{served.base}/v1", api_key="wrong", max_retries=0).models.list()
        with pytest.raises(openai.BadRequestError, match="grammars"):
            client.chat.completions.create(
                model="smollm2-135m",
                messages=[{"role": "user", "content": "hi"}],
                extra_body={"structured_outputs": {"grammar": "root ::= 'a'"}},
            )


class TestRecommendations:
    def test_an_answer_says_how_it_came_about(self, http: httpx.Client) -> None:
        answer = http.post("/v1/recommendations", json={"user_id": USER, "k": 5, "policy": "veto"}).json()
        assert [item["rank"] for item in answer["items"]] == [1, 2, 3, 4, 5]
        assert all(0 <= item["p_click"] <= 1 and item["title"] for item in answer["items"])
        assert -1 <= answer["agreement"] <= 1
        made = answer["provenance"]
        assert made["model"] == "smollm2-135m"
        assert made["template"]["id"] == "rank/pointwise"
        assert re.fullmatch(r"[0-9a-f]{12,64}", made["template"]["hash"])
        assert made["fallback"] is None
        assert {"history", "retrieval", "scoring", "llm", "reranking"} <= set(made["stage_ms"])

    def test_an_acknowledged_event_is_in_the_next_history(self, http: httpx.Client) -> None:
        before = http.post("/v1/recommendations", json={"user_id": "77", "k": 3}).json()
        item = before["items"][0]["item_id"]
        event = {"user_id": "77", "item_id": item, "event_id": "e-1", "request_id": before["request_id"], "value": 5}
        assert http.post("/v1/events", json=event).json() == {"accepted": 1, "new": 1}
        assert http.post("/v1/events", json=event).json() == {"accepted": 1, "new": 0}
        history = http.get("/v1/users/77/history").json()["events"]
        assert history[-1]["item_id"] == item
        after = http.post("/v1/recommendations", json={"user_id": "77", "k": 3}).json()
        assert item not in [line["item_id"] for line in after["items"]]
        assert after["provenance"]["history_events"] == before["provenance"]["history_events"] + 1

    def test_exposures_are_kept(self, http: httpx.Client, served: Served) -> None:
        answer = http.post("/v1/recommendations", json={"user_id": "5", "k": 3}).json()
        with SqliteStore(served.workspace / "genrec.db") as store:
            shown = {exposure.request_id: exposure for exposure in store.exposures()}[answer["request_id"]]
        assert list(shown.item_ids) == [line["item_id"] for line in answer["items"]]
        assert shown.template_id == "rank/pointwise"

    def test_a_history_in_the_request(self, http: httpx.Client) -> None:
        body = {"history": [{"item_id": "50", "value": 5}, {"item_id": "172"}], "k": 5, "query": "space adventure"}
        answer = http.post("/v1/recommendations", json=body).json()
        assert len(answer["items"]) == 5
        assert not {"50", "172"} & {line["item_id"] for line in answer["items"]}

    def test_many_at_once(self, http: httpx.Client) -> None:
        alone = [_items(http, str(user)) for user in range(20, 24)]
        with ThreadPoolExecutor(6) as pool:
            together = list(pool.map(lambda user: _items(http, str(user)), range(20, 24)))
        assert together == alone

    @pytest.mark.parametrize(
        ("body", "status", "words"),
        [
            ("{", 400, "Invalid JSON"),
            ("[]", 400, "object"),
            ('{"k": 0}', 400, "k: "),
            ('{"user": "secret-name"}', 400, "user: Extra inputs"),
            ('{"candidate_ids": ["no-such"]}', 404, "item"),
            ('{"history": [{"item_id": "no-such"}]}', 404, "item"),
            ('{"policy": "guess"}', 400, "policy"),
            ('{"user_id": "1", "where": {"year": {"minimum": 1990}}}', 400, "where"),
            ('{"user_id": "1", "where": {"year": {"min": "NaN"}}}', 400, "where"),
            ("x" * (5 * 1024 * 1024), 413, "longer"),
        ],
    )
    def test_bad_requests(self, http: httpx.Client, body: str, status: int, words: str) -> None:
        response = http.post("/v1/recommendations", content=body)
        assert response.status_code == status
        error = response.json()["error"]
        assert words in error["message"]
        assert "secret-name" not in error["message"]
        assert set(error) == {"message", "type", "param", "code"}

    def test_bad_events_change_nothing(self, http: httpx.Client) -> None:
        before = http.get("/v1/users/new-one/history").json()["events"]
        good = {"user_id": "new-one", "item_id": "1"}
        assert http.post("/v1/events", json={"events": [good, {**good, "item_id": "no-such"}]}).status_code == 404
        assert http.post("/v1/events", json={"events": [good, {"user_id": "new-one"}]}).status_code == 400
        assert http.get("/v1/users/new-one/history").json()["events"] == before == []

    def test_items(self, http: httpx.Client) -> None:
        assert http.get("/v1/items/1").json()["title"].startswith("Toy Story")
        assert http.get("/v1/items/no-such").status_code == 404
        assert http.get("/v1/users/1/history", params={"limit": "many"}).status_code == 400


class TestGate:
    def test_every_route_of_the_app_is_behind_the_gate(self, served: Served) -> None:
        routes = _routes()
        assert len(routes) > 20
        assert {"/health", "/v1/recommendations", "/tokenize", "/invocations"} <= {path for path, _ in routes}
        open_without_key, reached = set(), set()
        with httpx.Client(base_url=served.base, timeout=60) as http:
            for path, method in sorted(routes):
                concrete = re.sub(r"\{[^}]+\}", "1", path)
                if http.request(method, concrete).status_code != 401:
                    open_without_key.add(path)
                keyed = http.request(method, concrete, headers={"Authorization": f"Bearer {served.key}"})
                refused = keyed.status_code == 404 and "there is no route" in keyed.text
                if not refused:
                    reached.add(path)
        # The files of the page show no data; the page asks for the key and sends it with every call.
        assert open_without_key == {"/health", "/playground", "/playground/static/{name}"}
        assert reached == {
            "/health",
            "/metrics",
            "/v1/models",
            "/v1/chat/completions",
            "/v1/recommendations",
            "/v1/recommendations/{request_id}",
            "/v1/events",
            "/v1/users/{user_id:path}/history",
            "/v1/items/{item_id:path}",
            "/playground",
            "/playground/static/{name}",
            "/playground/api/state",
            "/playground/api/templates/{template_id:path}",
            "/playground/api/users",
            "/playground/api/preview",
            "/playground/api/lint",
            "/playground/api/diff",
            "/playground/api/run",
        }

    def test_metrics(self, http: httpx.Client) -> None:
        http.post("/v1/recommendations", json={"user_id": USER, "k": 3})
        text = http.get("/metrics").text
        assert "genrec_recommendations_total" in text
        assert "genrec_stage_seconds_bucket" in text
        assert "vllm:" in text

    def test_neither_key_nor_user_data_in_the_log(self, http: httpx.Client, served: Served) -> None:
        http.post("/v1/recommendations", json={"user_id": USER, "query": "my private wish"})
        http.post("/v1/recommendations", json={"user_id": USER, "query": "my private wish", "policy": "no"})
        text = served.log.read_text("utf-8")
        assert served.key not in text
        assert "private wish" not in text


def _items(http: httpx.Client, user: str) -> list[str]:
    # Under `fuse` the model may not be needed.
    answer = http.post("/v1/recommendations", json={"user_id": user, "k": 10, "policy": "annotate"}).json()
    assert answer["provenance"]["fallback"] is None, json.dumps(answer["provenance"])
    return [line["item_id"] for line in answer["items"]]


def _routes() -> set[tuple[str, str]]:
    """Path and method of every route of the app that the server builds."""
    import os

    from vllm.entrypoints.launchers.app import build_app
    from vllm.entrypoints.launchers.cli_args import make_arg_parser
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    os.environ["VLLM_PLUGINS"] = "genrec"
    args = make_arg_parser(FlexibleArgumentParser()).parse_args(["--disable-fastapi-docs"])
    app = build_app(args, ("generate",))
    return {
        (route.path, method)
        for route in app.routes
        for method in (getattr(route, "methods", None) or {"GET"})
        if hasattr(route, "path")
    }
