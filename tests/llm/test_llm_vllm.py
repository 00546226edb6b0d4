"""What is around vLLM: arguments, the model on a server's engine (a fake one here), and its faults."""

import asyncio
import json
import os
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("vllm")

from genrec.errors import ModelError
from genrec.llm.base import LabelChoice
from genrec.llm.engines.vllm import VllmOffline, VllmServed, engine_arguments, set_environment
from genrec.settings import ModelSettings

CONFIG = {
    "max_position_embeddings": 1024,
    "num_hidden_layers": 3,
    "num_key_value_heads": 2,
    "num_attention_heads": 4,
    "hidden_size": 64,
}


class FakeEngine:
    """Answers with log-probability -(prompt length + token); emits labels from the last; counts what was left early."""

    def __init__(self, fault: str = "") -> None:
        self.fault = fault
        self.vllm_config = SimpleNamespace(
            model_config=SimpleNamespace(max_model_len=64), cache_config=SimpleNamespace(block_size=16)
        )
        self.requests: list[tuple[Any, Any, str, Any]] = []
        self.left_early = 0
        self.loaded: list[Any] = []

    async def add_lora(self, lora_request: Any) -> None:
        if "other" in lora_request.lora_name:
            raise RuntimeError("no such modules")
        self.loaded.append(lora_request)

    async def generate(
        self, prompt: Any, params: Any, request_id: str, *, lora_request: Any = None
    ) -> AsyncIterator[Any]:
        self.requests.append((prompt, params, request_id, lora_request))
        tokens = prompt["prompt_token_ids"]
        labels = (params.extra_args or {}).get("genrec_labels")
        emitted = list(reversed(labels))[: params.max_tokens] if labels else [0]
        if self.fault == "stranger":
            emitted[-1] = 999
        if self.fault == "short":
            emitted.pop()
        finished = False
        try:
            for token in emitted:
                await asyncio.sleep(0)
                if self.fault == "crash":
                    raise RuntimeError("the prompt was: private")
                wanted = {*params.logprob_token_ids, token}
                logprobs = [{each: SimpleNamespace(logprob=-(len(tokens) + each)) for each in wanted}]
                output = SimpleNamespace(token_ids=[token], logprobs=None if self.fault == "bare" else logprobs)
                yield SimpleNamespace(outputs=[output], finished=token == emitted[-1])
            finished = True
        finally:
            self.left_early += not finished


async def generated(model: VllmServed, k: int) -> list[LabelChoice]:
    return [choice async for choice in model.generate_labels([1, 2], [10, 20, 30], k, seed=5, cache_salt="tenant")]


def test_a_read_is_one_request_of_one_token_for_each_prompt() -> None:
    fake = FakeEngine()
    model = VllmServed(fake, "small")  # type: ignore[arg-type]
    read = asyncio.run(model.score_tokens([[1], [1, 2]], [5, 6], cache_salt="tenant"))
    assert read.tolist() == [[-6, -7], [-7, -8]]
    assert (model.context, model.adapter) == (64, None)
    prompts = [prompt for prompt, *_ in fake.requests]
    assert [prompt["prompt_token_ids"] for prompt in prompts] == [[1], [1, 2]]
    assert {prompt["cache_salt"] for prompt in prompts} == {"tenant"}
    assert {params.max_tokens for _, params, *_ in fake.requests} == {1}
    assert len({request_id for _, _, request_id, _ in fake.requests}) == 2


@pytest.mark.parametrize(("own", "padded"), [(16, 32), (32, 32), (64, 64), (128, 128)])
def test_prefixes_are_padded_alike_on_every_device_and_end_where_blocks_do(own: int, padded: int) -> None:
    fake = FakeEngine()
    fake.vllm_config.cache_config.block_size = own
    assert VllmServed(fake, "small").block == padded  # type: ignore[arg-type]


def test_a_generation_is_one_constrained_request() -> None:
    fake = FakeEngine()
    lora = SimpleNamespace(lora_name="mine")
    model = VllmServed(fake, "small", lora=lora)  # type: ignore[arg-type]
    assert asyncio.run(generated(model, 2)) == [LabelChoice(2, -32.0), LabelChoice(1, -22.0)]
    ((_, params, _, used),) = fake.requests
    assert used is lora
    assert model.adapter == "mine"
    assert params.extra_args == {"genrec_labels": [10, 20, 30]}
    assert (params.max_tokens, params.seed, params.ignore_eos) == (2, 5, True)


@pytest.mark.parametrize(
    ("fault", "message"),
    [("crash", "RuntimeError"), ("stranger", "no label"), ("short", "instead of 3")],
)
def test_an_engine_that_fails_or_disobeys_is_a_model_error(fault: str, message: str) -> None:
    model = VllmServed(FakeEngine(fault), "small")  # type: ignore[arg-type]
    with pytest.raises(ModelError, match=message) as raised:
        asyncio.run(generated(model, 3))
    assert "private" not in str(raised.value)


@pytest.mark.parametrize("fault", ["crash", "bare"])
def test_a_read_that_fails_is_a_model_error(fault: str) -> None:
    fake = FakeEngine(fault)
    model = VllmServed(fake, "small")  # type: ignore[arg-type]
    with pytest.raises(ModelError):
        asyncio.run(model.score_tokens([[1], [2], [3]], [5]))


def test_a_caller_who_leaves_aborts_the_request() -> None:
    fake = FakeEngine()
    model = VllmServed(fake, "small")  # type: ignore[arg-type]

    async def leave() -> None:
        stream = model.generate_labels([1, 2], [10, 20, 30], 3)
        assert (await anext(stream)).label == 2
        await stream.aclose()  # type: ignore[attr-defined]

    asyncio.run(leave())
    assert fake.left_early == 1


class SlowEngine:
    """Answers nothing; the request whose prompt is [0] fails after a moment."""

    vllm_config = FakeEngine().vllm_config

    async def generate(self, prompt: Any, *_: Any, **__: Any) -> Any:
        await asyncio.sleep(0.05)
        if list(prompt["prompt_token_ids"]) == [0]:
            raise RuntimeError("private")
        await asyncio.sleep(60)
        yield None


def test_a_deadline_over_several_requests_stays_a_timeout() -> None:
    async def read() -> None:
        async with asyncio.timeout(0.1):
            await VllmServed(SlowEngine(), "small").score_tokens([[1], [2], [3]], [5])  # type: ignore[arg-type]

    with pytest.raises(TimeoutError):
        asyncio.run(read())


def test_one_failing_request_of_several_is_a_model_error() -> None:
    with pytest.raises(ModelError, match="RuntimeError"):
        asyncio.run(VllmServed(SlowEngine(), "small").score_tokens([[1], [0], [3]], [5]))  # type: ignore[arg-type]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    return tmp_path


def test_arguments_on_a_cpu(folder: Path) -> None:
    arguments = engine_arguments(ModelSettings(name=str(folder), context=2048), "cpu")
    assert arguments["max_model_len"] == 1024  # the model's own, which is shorter
    assert (arguments["dtype"], arguments["block_size"], arguments["enforce_eager"]) == ("float32", 32, True)
    assert arguments["kv_cache_memory_bytes"] == 2 * 3 * 2 * 16 * 4 * 16384  # head width 64 / 4
    assert "enable_lora" not in arguments


def test_arguments_on_a_gpu_leave_memory_and_block_to_the_engine(folder: Path) -> None:
    arguments = engine_arguments(ModelSettings(name=str(folder), context=512), "cuda")
    assert arguments["dtype"] == "auto"
    assert arguments["max_model_len"] == 512
    assert not {"block_size", "kv_cache_memory_bytes", "enforce_eager"} & set(arguments)


@pytest.mark.parametrize(
    ("configs", "rank", "places"),
    [(['{"r": 12}'], 16, 2), (['{"r": 4}', '{"r": 4, "rank_pattern": {"q_proj": 20}}'], 32, 3)],
)
def test_arguments_with_live_adapters(folder: Path, tmp_path: Path, configs: list[str], rank: int, places: int) -> None:
    live = [tmp_path / str(number) for number in range(len(configs))]
    for place, config in zip(live, configs, strict=True):
        place.mkdir()
        (place / "adapter_config.json").write_text(config)
    arguments = engine_arguments(ModelSettings(name=str(folder)), "cpu", live=live)
    assert (arguments["enable_lora"], arguments["max_lora_rank"], arguments["max_loras"]) == (True, rank, places)


@pytest.mark.parametrize("config", ["", "{}", "[]", '{"r": "x"}', '{"r": 8, "use_dora": true}'])
def test_adapters_that_cannot_be_live(folder: Path, tmp_path: Path, config: str) -> None:
    (tmp_path / "adapter_config.json").write_text(config)
    with pytest.raises(ModelError, match="adapter"):
        engine_arguments(ModelSettings(name=str(folder)), "cpu", live=[tmp_path])


def test_a_live_adapter_is_loaded_before_it_is_used(tmp_path: Path) -> None:
    folders = [tmp_path / "adapters" / "mine" / version for version in ("v1", "v2")]

    async def calls() -> list[Any]:
        model = VllmServed(fake, "small")  # type: ignore[arg-type]
        tuned = [await model.with_adapter(folder) for folder in folders]
        for one in (*tuned, model):
            await one.score_tokens([[1]], [5])
        with pytest.raises(ModelError, match="other@v1"):
            await model.with_adapter(tmp_path / "adapters" / "other" / "v1")
        return [one.adapter for one in tuned]

    fake = FakeEngine()
    assert asyncio.run(calls()) == ["mine@v1", "mine@v2"]
    first, second = fake.loaded
    assert (first.lora_name, first.lora_path) == ("mine@v1", str(folders[0]))
    assert first.lora_int_id != second.lora_int_id
    assert [used for *_, used in fake.requests] == [first, second, None]


def test_the_environment_keeps_what_the_user_has_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_LOGGING_LEVEL", "DEBUG")
    for name in ("VLLM_CPU_NUM_OF_RESERVED_CPU", "VLLM_ENABLE_V1_MULTIPROCESSING", "TORCH_COMPILE_DISABLE"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    set_environment("cpu", offline=True)
    assert os.environ["VLLM_LOGGING_LEVEL"] == "DEBUG"
    assert os.environ["VLLM_CPU_NUM_OF_RESERVED_CPU"] == "0"
    assert os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] == "0"


class SteppingEngine:
    """Stands for vLLM's engine: answers everything it holds in one step, or token by token."""

    def __init__(self) -> None:
        self.vllm_config = SimpleNamespace(
            model_config=SimpleNamespace(max_model_len=64), cache_config=SimpleNamespace(block_size=32)
        )
        self.engine_core = SimpleNamespace(shutdown=lambda: setattr(self, "down", True))
        self.held: dict[str, tuple[list[int], Any, int]] = {}
        self.steps: list[int] = []
        self.aborted: list[str] = []
        self.down = False
        self.crash = False
        self.pause_after = 0
        self.gate = threading.Event()
        self.gate.set()

    def add_request(self, name: str, prompt: Any, params: Any, lora_request: Any = None) -> None:
        if prompt["prompt_token_ids"] == [13]:
            raise ValueError("the prompt was: private")
        self.held[name] = (prompt["prompt_token_ids"], params, 0)

    def abort_request(self, names: list[str]) -> None:
        self.aborted += names
        for name in names:
            self.held.pop(name, None)

    def step(self) -> list[Any]:
        self.gate.wait()
        self.steps.append(len(self.held))
        if len(self.steps) == self.pause_after:
            self.gate.clear()
        if self.crash:
            raise RuntimeError("out of memory")
        answers = []
        for name, (tokens, params, done) in list(self.held.items()):
            labels = (params.extra_args or {}).get("genrec_labels")
            token = labels[done] if labels else 0
            logprobs = [
                {each: SimpleNamespace(logprob=-float(len(tokens))) for each in {*params.logprob_token_ids, token}}
            ]
            finished = done + 1 == params.max_tokens
            if finished:
                del self.held[name]
            else:
                self.held[name] = (tokens, params, done + 1)
            output = SimpleNamespace(token_ids=[token], logprobs=logprobs)
            answers.append(SimpleNamespace(request_id=name, outputs=[output], finished=finished))
        return answers


@pytest.fixture
def stepping(monkeypatch: pytest.MonkeyPatch) -> SteppingEngine:
    engine = SteppingEngine()
    monkeypatch.setattr("genrec.llm.engines.vllm.start_engine", lambda arguments: engine)
    return engine


def test_calls_that_arrive_while_the_engine_works_are_one_batch(stepping: SteppingEngine) -> None:
    async def calls() -> list[Any]:
        model = VllmOffline({}, "small")
        stepping.gate.clear()
        first = asyncio.create_task(model.score_tokens([[1]], [5]))
        await asyncio.sleep(0.05)
        others = [asyncio.create_task(model.score_tokens([[1] * size] * 2, [5, 6])) for size in (2, 3)]
        await asyncio.sleep(0.05)
        stepping.gate.set()
        reads = await asyncio.gather(first, *others)
        await model.close()
        return reads

    reads = asyncio.run(calls())
    assert [read.tolist() for read in reads] == [[[-1]], [[-2, -2]] * 2, [[-3, -3]] * 2]
    assert stepping.steps == [1, 4]
    assert stepping.down


def test_labels_are_streamed_step_by_step_and_a_caller_who_leaves_aborts(stepping: SteppingEngine) -> None:
    async def leave() -> None:
        model = VllmOffline({}, "small")
        stepping.pause_after = 1
        stream = model.generate_labels([1], [10, 20, 30], 3)
        assert await anext(stream) == LabelChoice(0, -1.0)
        await stream.aclose()  # type: ignore[attr-defined]
        stepping.gate.set()
        assert (await model.score_tokens([[1, 2]], [5])).tolist() == [[-2]]
        await model.close()

    asyncio.run(leave())
    assert stepping.aborted == ["0"]
    assert stepping.held == {}


def test_a_refused_request_fails_alone(stepping: SteppingEngine) -> None:
    async def calls() -> None:
        model = VllmOffline({}, "small")
        with pytest.raises(ModelError, match="ValueError") as raised:
            await model.score_tokens([[1], [13]], [5])
        assert "private" not in str(raised.value)
        assert (await model.score_tokens([[1]], [5])).tolist() == [[-1]]
        await model.close()

    asyncio.run(calls())
    assert stepping.held == {}


def test_an_engine_that_dies_fails_its_callers_then_and_later(stepping: SteppingEngine) -> None:
    async def calls() -> None:
        model = VllmOffline({}, "small")
        stepping.gate.clear()
        waiting = [asyncio.create_task(model.score_tokens([[1]], [5])) for _ in range(3)]
        await asyncio.sleep(0.05)
        stepping.crash = True
        stepping.gate.set()
        for call in waiting:
            with pytest.raises(ModelError):
                await call
        with pytest.raises(ModelError, match="stopped"):
            await model.score_tokens([[1]], [5])
        await model.close()

    asyncio.run(calls())
    assert stepping.down


def test_closing_ends_what_waits(stepping: SteppingEngine) -> None:
    async def calls() -> None:
        model = VllmOffline({}, "small")
        stepping.gate.clear()
        first = asyncio.create_task(model.score_tokens([[1]], [5]))
        await asyncio.sleep(0.05)
        closing = asyncio.create_task(model.close())
        second = asyncio.create_task(model.score_tokens([[1]], [5]))
        await asyncio.sleep(0.05)
        stepping.gate.set()
        await closing
        outcomes = await asyncio.gather(first, second, return_exceptions=True)
        assert all(isinstance(outcome, ModelError) or outcome.tolist() == [[-1]] for outcome in outcomes)
        assert isinstance(outcomes[1], ModelError)

    asyncio.run(calls())


def test_a_model_that_does_not_load(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(arguments: dict[str, Any]) -> None:
        raise ValueError("no weights\nand more lines")

    monkeypatch.setattr("genrec.llm.engines.vllm.start_engine", fail)
    with pytest.raises(ModelError, match=r"\(ValueError: no weights\)"):
        VllmOffline({}, "small")
