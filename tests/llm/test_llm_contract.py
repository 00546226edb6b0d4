"""Every engine gives the same log-probabilities and the same greedy labels on the same model."""

import asyncio
import contextlib
import itertools
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from genrec.artifacts.models import resolve
from genrec.errors import ModelError
from genrec.llm import load
from genrec.llm.arguments import BLOCK
from genrec.llm.base import LabelChoice, LanguageModel
from genrec.llm.engines.vllm import VllmOffline
from genrec.llm.scripted import ScriptedModel
from genrec.settings import ModelSettings

MODEL = "smollm2-135m"
CONTEXT = 512
LABELS = list(range(330, 350))
REAL = ["vllm", "transformers", "openai"]
SERVER = """
import sys
from genrec.llm import hardware
from genrec.llm.engines.vllm import engine_arguments, set_environment
from genrec.settings import ModelSettings
set_environment(hardware.device(), offline=False)
import uvloop
from vllm.entrypoints.launchers.api_server.entry import run_server
from vllm.entrypoints.launchers.cli_args import make_arg_parser, validate_parsed_serve_args
from vllm.utils.argparse_utils import FlexibleArgumentParser

if __name__ == "__main__":
    name, context, port = sys.argv[1:]
    args = make_arg_parser(FlexibleArgumentParser()).parse_args([])
    for argument, value in engine_arguments(ModelSettings(name=name, context=int(context)), hardware.device()).items():
        setattr(args, argument, value)
    args.host, args.port, args.served_model_name = "127.0.0.1", int(port), [name]
    validate_parsed_serve_args(args)
    uvloop.run(run_server(args))
"""


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as one_loop:
        yield one_loop


@pytest.fixture(scope="module")
def openai_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Base URL of a running vLLM server with its own routes."""
    folder = tmp_path_factory.mktemp("server")
    (folder / "serve.py").write_text(SERVER)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = (folder / "log").open("w")
    process = subprocess.Popen(
        [sys.executable, str(folder / "serve.py"), MODEL, str(CONTEXT), str(port)],
        stdout=log,
        stderr=log,
        env={**os.environ, "VLLM_PLUGINS": "none", "VLLM_ENABLE_V1_MULTIPROCESSING": "1"},
    )
    try:
        while True:
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"http://127.0.0.1:{port}/health").status_code == 200:
                    break
            assert process.poll() is None, (folder / "log").read_text()[-2000:]
            time.sleep(0.5)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait()


@pytest.fixture(scope="module")
def models(runner: asyncio.Runner, openai_server: str) -> Iterator[dict[str, LanguageModel]]:
    """All engines, loaded once."""
    loaded: dict[str, LanguageModel] = {"scripted": ScriptedModel(context=CONTEXT)}
    for engine in REAL:
        settings = ModelSettings(name=MODEL, engine=engine, context=CONTEXT, base_url=openai_server)
        loaded[engine] = runner.run(load(settings))
    yield loaded
    for model in loaded.values():
        runner.run(model.close())


def text_prompts() -> list[list[int]]:
    """A shared prefix with suffixes of several lengths, and one prompt of its own."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(resolve(MODEL) / "tokenizer.json"))
    shared = "A viewer liked these films: Alien, Heat, The Matrix, Blade Runner.\nWould this viewer like the film "
    films = ["Aliens", "Terminator 2: Judgment Day", "Babe", "Star Trek: First Contact (1996)", "Up"]
    texts = [f"{shared}{film}? Answer yes or no:" for film in films] + ["Once upon a time"]
    return [tokenizer.encode(text, add_special_tokens=False).ids for text in texts]


async def collect(
    model: LanguageModel, prompt: list[int], labels: list[int], k: int, **options: float
) -> list[LabelChoice]:
    return [choice async for choice in model.generate_labels(prompt, labels, k, **options)]  # type: ignore[arg-type]


@pytest.mark.model
def test_engines_agree_on_log_probabilities_and_order(runner: asyncio.Runner, models: dict[str, LanguageModel]) -> None:
    prompts = text_prompts()
    reads = {engine: runner.run(models[engine].score_tokens(prompts, LABELS)) for engine in REAL}
    for one, other in itertools.combinations(REAL, 2):
        assert np.abs(reads[one] - reads[other]).max() < 1e-3, (one, other)
        assert (reads[one][:5, 0] - reads[one][:5, 1]).argsort().tolist() == (
            reads[other][:5, 0] - reads[other][:5, 1]
        ).argsort().tolist()


@pytest.mark.model
def test_engines_agree_on_greedy_labels_and_their_log_probabilities(
    runner: asyncio.Runner, models: dict[str, LanguageModel]
) -> None:
    choices = {engine: runner.run(collect(models[engine], text_prompts()[0], LABELS, 8)) for engine in REAL}
    first = choices.pop("vllm")
    for other in choices.values():
        assert [choice.label for choice in other] == [choice.label for choice in first]
        assert [choice.logprob for choice in other] == pytest.approx([choice.logprob for choice in first], abs=1e-3)


@pytest.mark.model
def test_engines_write_the_same_text(runner: asyncio.Runner, models: dict[str, LanguageModel]) -> None:
    async def written(engine: str, **options: object) -> str:
        stream = models[engine].generate_text(text_prompts()[-1], max_tokens=16, **options)  # type: ignore[arg-type]
        return "".join([piece async for piece in stream])

    texts = {engine: runner.run(written(engine)) for engine in REAL}
    assert len(texts["vllm"].split()) > 5
    assert len(set(texts.values())) == 1
    word = texts["vllm"].split()[3]
    cut = {engine: runner.run(written(engine, stop=[word])) for engine in REAL}
    assert set(cut.values()) == {texts["vllm"].partition(word)[0]}


@pytest.mark.model
@pytest.mark.parametrize("engine", [*REAL, "scripted"])
class TestEveryEngine:
    @pytest.fixture(autouse=True)
    def _engine(self, runner: asyncio.Runner, models: dict[str, LanguageModel], engine: str) -> None:
        self.runner = runner
        self.model = models[engine]

    def test_its_context_and_block_are_as_declared(self) -> None:
        assert self.model.context == CONTEXT
        assert self.model.block >= 1
        assert self.model.adapter is None

    def test_reads_have_one_row_for_each_prompt_and_do_not_depend_on_the_others(self) -> None:
        prompts = text_prompts()
        together = self.runner.run(self.model.score_tokens(prompts, LABELS[:2]))
        backwards = self.runner.run(self.model.score_tokens(prompts[::-1], LABELS[1::-1]))
        alone = self.runner.run(self.model.score_tokens([prompts[3]], LABELS[:2]))
        assert together.shape == (len(prompts), 2)
        assert together.dtype == np.float32
        assert (together < 0).all()
        tolerance = 0 if self.model.exact else 1e-3
        assert np.abs(together - backwards[::-1, ::-1]).max() <= tolerance
        assert np.abs(together[3] - alone[0]).max() <= tolerance

    def test_no_prompts_are_no_rows(self) -> None:
        assert self.runner.run(self.model.score_tokens([], LABELS)).shape == (0, len(LABELS))

    def test_more_tokens_than_one_request_takes(self) -> None:
        prompt = text_prompts()[-1]
        many = self.runner.run(self.model.score_tokens([prompt], range(300, 600)))
        few = self.runner.run(self.model.score_tokens([prompt], [300, 427, 428, 599]))
        assert many[0, [0, 127, 128, 299]] == pytest.approx(few[0], abs=1e-3)

    def test_all_labels_are_generated_each_once(self) -> None:
        choices = self.runner.run(collect(self.model, text_prompts()[1], LABELS, len(LABELS)))
        assert sorted(choice.label for choice in choices) == list(range(len(LABELS)))
        assert all(choice.logprob < 0 for choice in choices)

    def test_sampling_follows_the_seed(self) -> None:
        def labels(seed: int) -> list[int]:
            choices = self.runner.run(collect(self.model, text_prompts()[2], LABELS, 6, temperature=2.0, seed=seed))
            return [choice.label for choice in choices]

        first = labels(1)
        assert len(set(first)) == 6
        assert labels(1) == first
        assert any(labels(seed) != first for seed in (2, 3, 4))

    def test_a_generation_can_be_left_early(self) -> None:
        async def first() -> int:
            async for choice in self.model.generate_labels(text_prompts()[0], LABELS, 20):
                return choice.label
            raise AssertionError("nothing was generated")

        assert 0 <= self.runner.run(first()) < len(LABELS)
        assert self.runner.run(self.model.score_tokens([text_prompts()[0]], LABELS)).shape == (1, len(LABELS))

    def test_concurrent_calls_do_not_disturb_each_other(self) -> None:
        prompts = text_prompts()

        async def together() -> list[object]:
            return await asyncio.gather(
                self.model.score_tokens(prompts[:3], LABELS[:2]),
                collect(self.model, prompts[0], LABELS, 4),
                self.model.score_tokens(prompts[3:], LABELS[:3]),
                collect(self.model, prompts[1], LABELS[:5], 4),
            )

        read, generated, other_read, other_generated = self.runner.run(together())
        assert np.abs(read - self.runner.run(self.model.score_tokens(prompts[:3], LABELS[:2]))).max() < 1e-3
        assert np.abs(other_read - self.runner.run(self.model.score_tokens(prompts[3:], LABELS[:3]))).max() < 1e-3
        for choices, prompt, labels in ((generated, prompts[0], LABELS), (other_generated, prompts[1], LABELS[:5])):
            alone = self.runner.run(collect(self.model, prompt, labels, 4))
            assert [choice.label for choice in choices] == [choice.label for choice in alone]

    def test_prompts_that_do_not_fit_are_model_errors(self) -> None:
        with pytest.raises(ModelError, match="context"):
            self.runner.run(self.model.score_tokens([[5] * CONTEXT], LABELS))
        with pytest.raises(ModelError, match="context"):
            self.runner.run(collect(self.model, [5] * (CONTEXT - 2), LABELS, 3))
        longest = [5] * (CONTEXT - 1)
        assert self.runner.run(self.model.score_tokens([longest], LABELS)).shape == (1, len(LABELS))


@pytest.mark.model
def test_prompts_read_together_compute_a_shared_prefix_of_whole_blocks_once(
    runner: asyncio.Runner, models: dict[str, LanguageModel]
) -> None:
    from vllm import SamplingParams

    model = models["vllm"]
    assert isinstance(model, VllmOffline)
    assert model.block == BLOCK
    prefix = [1000 + place for place in range(4 * BLOCK)]
    requests = [
        ([*prefix, 2000 + row, 7], SamplingParams(max_tokens=1, detokenize=False, logprob_token_ids=[5]))
        for row in range(20)
    ]

    async def cached_tokens(salt: str) -> list[int]:
        cached = [0] * len(requests)
        async for index, answer in model._answers(requests, salt):
            cached[index] = answer.num_cached_tokens
        return cached

    assert runner.run(cached_tokens("first tenant")) == [0] + [len(prefix)] * 19
    assert runner.run(cached_tokens("first tenant")) == [len(prefix)] * 20
    assert runner.run(cached_tokens("second tenant")) == [0] + [len(prefix)] * 19


@pytest.mark.model
def test_a_closed_engine_says_so(runner: asyncio.Runner, tmp_path: Path) -> None:
    model = runner.run(load(ModelSettings(name=MODEL, engine="transformers", context=CONTEXT)))
    runner.run(model.close())
    with pytest.raises(ModelError, match="closed"):
        runner.run(model.score_tokens([[1, 2]], LABELS))


@pytest.mark.model
@pytest.mark.parametrize("engine", ["vllm", "transformers"])
def test_a_model_that_cannot_be_loaded_is_a_model_error(
    runner: asyncio.Runner, tmp_path: Path, engine: str, models: dict[str, LanguageModel]
) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "llama", "architectures": ["LlamaForCausalLM"]}')
    with pytest.raises(ModelError, match="could not load"):
        runner.run(load(ModelSettings(name=str(tmp_path), engine=engine)))
