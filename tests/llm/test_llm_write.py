"""Free text of every engine: what it says, where it ends, and how it fails. Real engines: see the contract."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genrec.errors import ModelError
from genrec.llm import load
from genrec.llm.base import LanguageModel
from genrec.llm.scripted import ScriptedModel
from genrec.llm.texts import until
from genrec.settings import ModelSettings


def written(model: LanguageModel, prompt: Sequence[int] = (1, 2), max_tokens: int = 50, **options: Any) -> list[str]:
    async def collect() -> list[str]:
        return [piece async for piece in model.generate_text(prompt, max_tokens=max_tokens, **options)]

    return asyncio.run(collect())


async def _stream(pieces: Sequence[str]) -> AsyncIterator[str]:
    for piece in pieces:
        yield piece


@given(st.lists(st.text("ab\n", max_size=4), max_size=8), st.lists(st.text("ab\n", min_size=1, max_size=3), max_size=3))
def test_a_text_ends_before_the_first_stop_however_it_is_cut(pieces: list[str], stop: list[str]) -> None:
    async def collect() -> str:
        return "".join([piece async for piece in until(_stream(pieces), stop)])

    whole = "".join(pieces)
    found = asyncio.run(collect())
    # All that was said, or up to the end of a stop: cut where the earliest one that is then complete begins.
    assert whole.startswith(found)
    assert not any(text in found for text in stop)
    if found != whole:
        assert any(whole[len(found) :].startswith(text) for text in stop)


def test_the_scripted_model_writes_its_text() -> None:
    assert "".join(written(ScriptedModel(text="one two\nthree"))) == "one two\nthree"
    assert "".join(written(ScriptedModel(text="one two three"), max_tokens=2)) == "one two"
    assert "".join(written(ScriptedModel(text="one\ntwo"), stop=["\n"])) == "one"
    assert "".join(written(ScriptedModel(text=lambda prompt: str(len(prompt))), [7] * 5)) == "5"


def test_faults_are_model_errors() -> None:
    with pytest.raises(ModelError):
        written(ScriptedModel(fail_at=0))
    with pytest.raises(ModelError):
        written(ScriptedModel(text="a b c", fail_after_labels=1))
    with pytest.raises(ModelError, match="context"):
        written(ScriptedModel(context=10), [1] * 8, max_tokens=3)
    for prompt, most in (([], 5), ([1], 0)):
        with pytest.raises(ValueError, match=r"text|prompt"):
            written(ScriptedModel(), prompt, max_tokens=most)


def test_transformers_writes_what_generate_of_transformers_writes(tmp_path: Path, tiny_tokenizer_folder: Path) -> None:
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    torch.manual_seed(3)
    reference = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=600,
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            max_position_embeddings=256,
            initializer_range=0.3,
            eos_token_id=2,
        )
    ).eval()
    reference.save_pretrained(tmp_path)
    for file in tiny_tokenizer_folder.iterdir():
        shutil.copy(file, tmp_path)
    prompt = [40, 50, 60]
    model = asyncio.run(load(ModelSettings(name=str(tmp_path), engine="transformers", context=256)))
    with torch.no_grad():
        ids = reference.generate(torch.tensor([prompt]), max_new_tokens=20, do_sample=False, pad_token_id=0)[0, 3:]
    expected = AutoTokenizer.from_pretrained(tmp_path).decode(ids, skip_special_tokens=True)
    found = "".join(written(model, prompt, 20))
    assert found.rstrip("\ufffd") == expected.rstrip("\ufffd")[: len(found)]
    assert len(found.rstrip("\ufffd")) > 5
    drawn = ["".join(written(model, prompt, 20, temperature=5.0, seed=seed)) for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
    end = int(ids[4])
    model.ends = frozenset([end])  # type: ignore[attr-defined]
    assert len("".join(written(model, prompt, 20))) < len(found)


def test_other_servers_stream_it() -> None:
    openai = pytest.importorskip("openai")
    from genrec.llm.engines.openai import OpenAIModel

    bodies: list[dict[str, Any]] = []

    def server(request: httpx.Request) -> httpx.Response:
        bodies.append(json.loads(request.content))
        if len(bodies) > 1:
            return httpx.Response(500, json={"error": {"message": "the prompt was: private"}})
        head = {"id": "1", "object": "text_completion", "created": 0, "model": "small"}
        parts = [
            {**head, "choices": [{"index": 0, "text": text, "finish_reason": None}]} for text in ("Good ", "", "day")
        ]
        lines = "".join(f"data: {json.dumps(part)}\n\n" for part in [*parts, {**head, "choices": []}])
        return httpx.Response(200, text=f"{lines}data: [DONE]\n\n", headers={"content-type": "text/event-stream"})

    http = httpx.AsyncClient(transport=httpx.MockTransport(server))
    client = openai.AsyncOpenAI(base_url="http://server/v1", api_key="x", http_client=http, max_retries=0)
    model = OpenAIModel(client, "small", "small", 64)
    assert written(model, max_tokens=9, stop=["\n"], seed=4, cache_salt="tenant") == ["Good ", "day"]
    (body,) = bodies
    assert (body["prompt"], body["max_tokens"], body["temperature"], body["seed"]) == ([1, 2], 9, 0, 4)
    assert (body["stop"], body["cache_salt"], body["stream"]) == (["\n"], "tenant", True)
    with pytest.raises(ModelError) as raised:
        written(model)
    assert "private" not in str(raised.value)


def test_vllm_gives_its_pieces_and_frees_the_engine_when_left_early() -> None:
    pytest.importorskip("vllm")
    from genrec.llm.engines.vllm import VllmServed

    asked: list[Any] = []
    ended: list[bool] = []

    async def generate(prompt: Any, params: Any, request_id: str, *, lora_request: Any = None) -> AsyncIterator[Any]:
        asked.append((prompt, params))
        finished = False
        try:
            for text in ("Good ", "", "day"):
                await asyncio.sleep(0)
                yield SimpleNamespace(outputs=[SimpleNamespace(text=text)], finished=text == "day")
            finished = True
        finally:
            ended.append(finished)

    config = SimpleNamespace(
        model_config=SimpleNamespace(max_model_len=64), cache_config=SimpleNamespace(block_size=16)
    )
    model = VllmServed(SimpleNamespace(vllm_config=config, generate=generate), "small")  # type: ignore[arg-type]
    assert written(model, max_tokens=9, stop=["\n"], seed=4, cache_salt="tenant") == ["Good ", "day"]
    ((prompt, params),) = asked
    assert (prompt["prompt_token_ids"], prompt["cache_salt"]) == ([1, 2], "tenant")
    assert (params.max_tokens, params.seed, params.stop, params.ignore_eos) == (9, 4, ["\n"], False)

    async def leave() -> None:
        stream = model.generate_text([1], max_tokens=9)
        assert await anext(stream) == "Good "
        await stream.aclose()  # type: ignore[attr-defined]

    asyncio.run(leave())
    assert ended == [True, False]
