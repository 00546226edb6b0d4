"""The engine behind HTTP against servers of several kinds and with several faults."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

openai = pytest.importorskip("openai")

from tokenizers import Tokenizer  # noqa: E402
from tokenizers.models import WordLevel  # noqa: E402

import genrec.llm.engines.openai as engine  # noqa: E402
from genrec.errors import ModelError  # noqa: E402
from genrec.settings import ModelSettings  # noqa: E402

JSON = {"content-type": "application/json"}
Handler = Callable[[httpx.Request], httpx.Response]


class Server:
    """Answers completions with log-probability -(prompt length + token / 1000) for every token."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.vllm = True
        self.refuses_extras = False
        self.top = 20

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/models"):
            cards = [{"id": "small", "object": "model", "created": 0, "owned_by": "x", "max_model_len": 128}]
            return httpx.Response(200, json={"object": "list", "data": cards})
        body = json.loads(request.content)
        self.bodies.append(body)
        extras = body.get("logprob_token_ids")
        if extras and self.refuses_extras:
            return httpx.Response(400, json={"error": {"message": "unknown field"}})
        choices = []
        for index, prompt in enumerate(body["prompt"]):
            if self.vllm and extras:
                found = {f"token_id:{token}": -(len(prompt) + token / 1000) for token in extras}
            else:
                found = {f"w{token}": -(len(prompt) + token / 1000) for token in range(self.top)}
            logprobs = {"tokens": ["w"], "token_logprobs": [-1.0], "top_logprobs": [found], "text_offset": [0]}
            choices.append({"index": index, "text": "w", "finish_reason": "length", "logprobs": logprobs})
        answer = {"id": "1", "object": "text_completion", "created": 0, "model": "small", "choices": choices[::-1]}
        return httpx.Response(200, json=answer)


def client(handler: Handler) -> Any:
    http = httpx.AsyncClient(transport=httpx.MockTransport(handler))
    return openai.AsyncOpenAI(base_url="http://server/v1", api_key="secret", http_client=http, max_retries=0)


def model(handler: Handler, name: str = "small") -> engine.OpenAIModel:
    return engine.OpenAIModel(client(handler), name, "small", 64)


@pytest.fixture
def tokenizer_folder(tmp_path: Path) -> str:
    tokenizer = Tokenizer(WordLevel({f"w{token}": token for token in range(100)}, unk_token="w0"))
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "config.json").write_text("{}")
    return str(tmp_path)


def test_vllm_is_asked_for_the_named_tokens_of_all_prompts_at_once() -> None:
    server = Server()
    read = asyncio.run(model(server).score_tokens([[1, 2], [3, 4, 5]], [7, 9], cache_salt="tenant"))
    assert read == pytest.approx(np.array([[-2.007, -2.009], [-3.007, -3.009]]), abs=1e-5)
    (body,) = server.bodies
    assert body["prompt"] == [[1, 2], [3, 4, 5]]
    assert body["logprob_token_ids"] == [7, 9]
    assert body["cache_salt"] == "tenant"
    assert (body["max_tokens"], body["temperature"]) == (1, 0)


def test_more_tokens_than_one_request_takes_are_split() -> None:
    server = Server()
    read = asyncio.run(model(server).score_tokens([[1]], range(300)))
    assert sorted(len(body["logprob_token_ids"]) for body in server.bodies) == [44, 128, 128]
    assert read[0, 299] == pytest.approx(-1.299, abs=1e-5)


@pytest.mark.parametrize("refuses", [True, False])
def test_other_servers_are_read_by_their_likeliest_tokens(tokenizer_folder: str, refuses: bool) -> None:
    server = Server()
    server.vllm, server.refuses_extras = False, refuses

    async def reads() -> list[Any]:
        one = model(server, tokenizer_folder)
        return [await one.score_tokens([[1, 2]], [7, 9]), await one.score_tokens([[1, 2, 3]], [7])]

    first, second = asyncio.run(reads())
    assert first == pytest.approx(np.array([[-2.007, -2.009]]), abs=1e-5)
    assert second == pytest.approx(np.array([[-3.007]]), abs=1e-5)
    assert ["logprob_token_ids" in body for body in server.bodies] == [True, False, False]  # it learns what works
    assert server.bodies[-1]["logprobs"] == 20


def test_a_wanted_token_that_is_not_among_the_likeliest_is_an_error_with_a_hint(tokenizer_folder: str) -> None:
    server = Server()
    server.vllm = False
    with pytest.raises(ModelError, match="wanted token") as raised:
        asyncio.run(model(server, tokenizer_folder).score_tokens([[1]], [50]))
    assert "logprob_token_ids" in raised.value.hint


def test_generation_masks_what_was_emitted() -> None:
    async def generated() -> list[int]:
        return [choice.label async for choice in model(Server()).generate_labels([1, 2], [9, 3, 5], 3)]

    assert asyncio.run(generated()) == [1, 2, 0]  # the smallest token is the likeliest


def status(code: int) -> Handler:
    return lambda request: httpx.Response(code, json={"error": {"message": "the prompt was: private"}})


def fails_with(error: Exception) -> Handler:
    def handler(request: httpx.Request) -> httpx.Response:
        raise error

    return handler


@pytest.mark.parametrize(
    ("handler", "message", "hint"),
    [
        (status(401), "status 401", "OPENAI_API_KEY"),
        (status(404), "status 404", "base_url"),
        (status(400), "status 400", "log"),
        (status(503), "status 503", "log"),
        (fails_with(httpx.ConnectError("refused")), "cannot be reached", "base_url"),
        (fails_with(httpx.ReadTimeout("slow")), "in time", "load"),
        (lambda request: httpx.Response(200, text="<html>"), "without log-probabilities", "completions"),
        (lambda request: httpx.Response(200, text="{", headers=JSON), "unusable", "completions"),
    ],
)
def test_faults_are_model_errors_without_the_request_in_them(handler: Handler, message: str, hint: str) -> None:
    with pytest.raises(ModelError, match=message) as raised:
        asyncio.run(model(handler).score_tokens([[1]], [2]))
    assert hint in raised.value.hint
    assert "private" not in str(raised.value)


def loaded(monkeypatch: pytest.MonkeyPatch, handler: Handler, **settings: str) -> Awaitable[engine.OpenAIModel]:
    monkeypatch.setattr(engine, "AsyncOpenAI", lambda **options: client(handler))
    return engine.load(ModelSettings(engine="openai", **settings))


def test_loading_finds_the_model_and_its_context(monkeypatch: pytest.MonkeyPatch) -> None:
    by_name = asyncio.run(loaded(monkeypatch, Server(), name="small"))  # type: ignore[arg-type]
    only_one = asyncio.run(loaded(monkeypatch, Server(), name="smollm2-135m"))  # type: ignore[arg-type]
    assert (by_name.context, only_one.context) == (128, 128)
    assert only_one.name == "smollm2-135m"


def test_an_adapter_must_be_on_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelError, match="no model 'mine'") as raised:
        asyncio.run(loaded(monkeypatch, Server(), name="small", adapter="mine"))  # type: ignore[arg-type]
    assert "small" in raised.value.hint


@pytest.mark.parametrize("headers", [{}, JSON])
def test_a_server_that_is_something_else(monkeypatch: pytest.MonkeyPatch, headers: dict[str, str]) -> None:
    with pytest.raises(ModelError, match="unusable"):
        asyncio.run(loaded(monkeypatch, lambda request: httpx.Response(200, text="<html>", headers=headers)))  # type: ignore[arg-type]


def test_a_refused_request_does_not_end_the_reading_of_named_tokens() -> None:
    server = Server()
    server.refuses_extras = True
    one = model(server)

    async def reads() -> None:
        server.top = 0
        with pytest.raises(ModelError):
            await one.score_tokens([[1]], [2])
        server.refuses_extras = False
        assert await one.score_tokens([[1]], [2]) == pytest.approx(-1.002, abs=1e-5)

    asyncio.run(reads())


def test_a_server_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelError, match="cannot be reached"):
        asyncio.run(loaded(monkeypatch, fails_with(httpx.ConnectError("no"))))  # type: ignore[arg-type]
