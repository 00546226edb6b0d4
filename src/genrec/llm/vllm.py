"""vLLM: in a running server's engine (`VllmServed`) and in a thread of this process (`VllmOffline`)."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import queue
import threading
import uuid
import warnings
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from concurrent.futures import Future
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from genrec.errors import ModelError
from genrec.llm import hardware
from genrec.llm.base import LabelChoice, LogProbs
from genrec.llm.checks import check_generate, check_read
from genrec.models import resolve
from genrec.settings import ModelSettings

if TYPE_CHECKING:
    from vllm import RequestOutput, SamplingParams
    from vllm.engine.protocol import EngineClient
    from vllm.inputs import TokensInput
    from vllm.lora.request import LoRARequest
    from vllm.v1.engine.llm_engine import LLMEngine

READ_LIMIT = 128
"""Most token ids for which vLLM returns log-probabilities in one request."""
CPU_BLOCK = 32
"""Smallest block for which vLLM's CPU attention is fast; its default of 128 shares less."""


def set_environment(device: hardware.Device, offline: bool) -> None:
    """Variables that vLLM reads when it is imported; what the user has set stays."""
    defaults = {"VLLM_LOGGING_LEVEL": "ERROR", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
    if device == "cpu":
        defaults["VLLM_CPU_NUM_OF_RESERVED_CPU"] = "0"
        # A small helper of the sampler would otherwise be compiled for 15 s within the first request.
        defaults["TORCH_COMPILE_DISABLE"] = "1"
        if offline:
            defaults["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
    warnings.filterwarnings("ignore", category=FutureWarning, module="vllm")


def engine_arguments(
    settings: ModelSettings, device: hardware.Device, *, adapter_path: Path | None = None
) -> dict[str, Any]:
    """Arguments of vLLM's engine by their Python names, the same for the server and offline."""
    folder = resolve(settings.name)
    arguments: dict[str, Any] = {
        "model": str(folder),
        "dtype": hardware.dtype(settings.dtype, device),
        "max_model_len": _context(folder, settings.context),
        "enable_prefix_caching": True,
        "logits_processors": ["genrec.llm.constraint:DistinctLabels"],
        "max_num_seqs": 256,
        # A slate of 100 candidates behind a long history in one step.
        "max_num_batched_tokens": 8192,
        "use_tqdm_on_load": False,
    }
    if device == "cpu":
        arguments |= {
            "enforce_eager": True,
            "block_size": CPU_BLOCK,
            "kv_cache_memory_bytes": _cache_bytes(folder, arguments["dtype"], tokens=max(16384, 4 * settings.context)),
        }
    if adapter_path is not None:
        arguments |= {"enable_lora": True, "max_lora_rank": _rank(adapter_path), "max_loras": 1}
    return arguments


class _VllmModel(ABC):
    """Both verbs over an engine that answers many requests at once."""

    exact = False

    def __init__(self, name: str, context: int, block: int, adapter: str | None = None) -> None:
        self.name = name
        self.adapter = adapter
        self.context = context
        self.block = block

    async def read(
        self, prompts: Sequence[Sequence[int]], token_ids: Sequence[int], *, cache_salt: str | None = None
    ) -> LogProbs:
        """See `LanguageModel.read`: one request of one token for each prompt, all submitted together."""
        from vllm import SamplingParams

        check_read(prompts, token_ids, self.context)
        chunks = [list(token_ids[start : start + READ_LIMIT]) for start in range(0, len(token_ids), READ_LIMIT)]
        requests = [
            (
                prompt,
                SamplingParams(
                    max_tokens=1, temperature=0.0, logprob_token_ids=chunk, detokenize=False, ignore_eos=True
                ),
            )
            for chunk in chunks
            for prompt in prompts
        ]
        values = np.full((len(prompts), len(token_ids)), np.nan, np.float32)
        async with aclosing(self._answers(requests, cache_salt)) as answers:
            async for index, answer in answers:
                part, row = divmod(index, len(prompts))
                found = answer.outputs[0].logprobs
                if not found:
                    continue
                for column, token in enumerate(chunks[part]):
                    values[row, part * READ_LIMIT + column] = found[0][token].logprob
        if np.isnan(values).any():
            raise ModelError("the engine answered without the log-probabilities asked for", _HINT_LOG)
        return values

    async def generate(
        self,
        prompt: Sequence[int],
        labels: Sequence[int],
        k: int,
        *,
        temperature: float = 0.0,
        seed: int = 0,
        cache_salt: str | None = None,
    ) -> AsyncIterator[LabelChoice]:
        """See `LanguageModel.generate`: one request of k tokens under `genrec.llm.constraint`."""
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        check_generate(prompt, labels, k, self.context)
        position = {token: label for label, token in enumerate(labels)}
        params = SamplingParams(
            max_tokens=k,
            temperature=temperature,
            seed=seed,
            ignore_eos=True,
            detokenize=False,
            # The emitted token's own log-probability comes along with those of the named tokens.
            logprob_token_ids=[labels[0]],
            extra_args={"genrec_labels": list(labels)},
            output_kind=RequestOutputKind.DELTA,
        )
        emitted = 0
        async with aclosing(self._answers([(prompt, params)], cache_salt)) as answers:
            async for _, answer in answers:
                output = answer.outputs[0]
                for token, found in zip(output.token_ids, output.logprobs or (), strict=True):
                    if token not in position:
                        raise ModelError("the engine emitted something that is no label", _HINT_PROCESSOR)
                    emitted += 1
                    yield LabelChoice(position.pop(token), float(found[token].logprob))
        if emitted != k:
            raise ModelError(f"the engine emitted {emitted} labels instead of {k}", _HINT_LOG)

    @abstractmethod
    def _answers(
        self, requests: Sequence[tuple[Sequence[int], SamplingParams]], cache_salt: str | None
    ) -> AsyncGenerator[tuple[int, RequestOutput], None]:
        """Submits requests together and yields (index, output) as they come; aborts them when closed early."""

    @abstractmethod
    async def close(self) -> None:
        """See `LanguageModel.close`."""


class VllmServed(_VllmModel):
    """On the engine of a running vLLM server, which stays the owner."""

    def __init__(self, engine_client: EngineClient, name: str, *, lora: LoRARequest | None = None) -> None:
        config = engine_client.vllm_config
        super().__init__(
            name, config.model_config.max_model_len, config.cache_config.block_size, lora.lora_name if lora else None
        )
        self._client = engine_client
        self._lora = lora

    async def _answers(
        self, requests: Sequence[tuple[Sequence[int], SamplingParams]], cache_salt: str | None
    ) -> AsyncGenerator[tuple[int, RequestOutput], None]:
        from vllm.utils.async_utils import merge_async_iterators

        name = f"genrec-{uuid.uuid4().hex}"
        streams = [
            self._client.generate(_prompt(tokens, cache_salt), params, f"{name}-{index}", lora_request=self._lora)
            for index, (tokens, params) in enumerate(requests)
        ]
        try:
            async for index, answer in merge_async_iterators(*streams):
                yield index, answer
        except (asyncio.CancelledError, GeneratorExit):
            raise
        except Exception as error:
            raise _failed(error) from error
        finally:
            for stream in streams:
                await stream.aclose()

    async def close(self) -> None:
        """Does nothing: the server owns the engine."""


@dataclass(slots=True, eq=False)
class _Job:
    """Requests that one caller submitted together, and the way back to it."""

    requests: list[tuple[TokensInput, SamplingParams]]
    loop: asyncio.AbstractEventLoop
    answers: asyncio.Queue[tuple[int, RequestOutput] | BaseException]
    ids: list[str] = field(default_factory=list)
    aborted: bool = False

    def send(self, answer: tuple[int, RequestOutput] | BaseException) -> None:
        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self.answers.put_nowait, answer)


class VllmOffline(_VllmModel):
    """Owns an engine that steps in one thread; requests of all callers are batched continuously."""

    def __init__(self, arguments: dict[str, Any], name: str, *, lora: LoRARequest | None = None) -> None:
        """Loads the model (tens of seconds). `arguments` are those of `engine_arguments`. Raises ModelError."""
        self._lora = lora
        self._inbox: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._names = itertools.count()
        self._dead: BaseException | None = None
        started: Future[tuple[int, int]] = Future()
        self._thread = threading.Thread(target=self._run, args=(arguments, started), name="genrec-vllm", daemon=True)
        self._thread.start()
        try:
            context, block = started.result()
        except Exception as error:
            raise ModelError(
                f"vLLM could not load the model ({type(error).__name__}: {str(error).splitlines()[0][:300]})"
                if str(error)
                else f"vLLM could not load the model ({type(error).__name__})",
                "look at `genrec doctor`; set VLLM_LOGGING_LEVEL=INFO for vLLM's own account",
            ) from error
        super().__init__(name, context, block, lora.lora_name if lora else None)

    async def close(self) -> None:
        """Stops the thread and frees the engine."""
        self._inbox.put(None)
        await asyncio.to_thread(self._thread.join)

    async def _answers(
        self, requests: Sequence[tuple[Sequence[int], SamplingParams]], cache_salt: str | None
    ) -> AsyncGenerator[tuple[int, RequestOutput], None]:
        if not requests:
            return
        inputs = [(_prompt(tokens, cache_salt), params) for tokens, params in requests]
        job = _Job(inputs, asyncio.get_running_loop(), asyncio.Queue())
        if not self._thread.is_alive():
            raise ModelError("the engine has stopped", _HINT_LOG) from self._dead
        self._inbox.put(job)
        unfinished = len(requests)
        try:
            while unfinished:
                answer = await job.answers.get()
                if isinstance(answer, BaseException):
                    raise _failed(answer) from answer
                unfinished -= answer[1].finished
                yield answer
        finally:
            if unfinished:
                job.aborted = True
                self._inbox.put(job)

    def _run(self, arguments: dict[str, Any], started: Future[tuple[int, int]]) -> None:
        try:
            engine = _start_engine(arguments)
            config = engine.vllm_config
        except BaseException as error:
            started.set_exception(error)
            return
        started.set_result((config.model_config.max_model_len, config.cache_config.block_size))
        running: dict[str, tuple[_Job, int]] = {}
        try:
            while self._admit(engine, running):
                for answer in engine.step():
                    job, index = running[answer.request_id]
                    if answer.finished:
                        del running[answer.request_id]
                    job.send((index, answer))
        except BaseException as error:
            self._dead = error
        finally:
            engine.engine_core.shutdown()
            gone = self._dead or ModelError("the engine was closed")
            waiting = {id(job): job for job, _ in running.values()}
            while not self._inbox.empty():
                if (job_or_end := self._inbox.get()) is not None:
                    waiting[id(job_or_end)] = job_or_end
            for job in waiting.values():
                job.send(gone)

    def _admit(self, engine: LLMEngine, running: dict[str, tuple[_Job, int]]) -> bool:
        """Takes in all that has arrived, waiting if there is nothing else to do; False when it is time to stop."""
        while not running or not self._inbox.empty():
            job = self._inbox.get()
            if job is None:
                return False
            if job.aborted:
                engine.abort_request([name for name in job.ids if running.pop(name, None)])
                continue
            try:
                for index, (prompt, params) in enumerate(job.requests):
                    job.ids.append(str(next(self._names)))
                    engine.add_request(job.ids[-1], prompt, params, lora_request=self._lora)
                    running[job.ids[-1]] = (job, index)
            except Exception as error:  # a request that vLLM refuses; the engine goes on
                engine.abort_request([name for name in job.ids if running.pop(name, None)])
                job.send(error)
        return True


async def load(settings: ModelSettings, *, adapter_path: Path | None = None) -> VllmOffline:
    """The model of the settings in an engine of this process. Raises ModelError."""
    device = hardware.device()
    set_environment(device, offline=True)
    arguments = await asyncio.to_thread(engine_arguments, settings, device, adapter_path=adapter_path)
    lora = None
    if adapter_path is not None:
        from vllm.lora.request import LoRARequest

        lora = LoRARequest(settings.adapter or adapter_path.name, 1, str(adapter_path))
    return await asyncio.to_thread(VllmOffline, arguments, settings.name, lora=lora)


_HINT_LOG = "look at the engine's log (VLLM_LOGGING_LEVEL=INFO), and restart it"
_HINT_PROCESSOR = "start the server with --logits-processors genrec.llm.constraint:DistinctLabels (genrec serve does)"


def _start_engine(arguments: dict[str, Any]) -> LLMEngine:
    from vllm import EngineArgs
    from vllm.v1.engine.llm_engine import LLMEngine

    return LLMEngine.from_engine_args(EngineArgs(**arguments, disable_log_stats=True))


def _prompt(tokens: Sequence[int], cache_salt: str | None) -> TokensInput:
    from vllm.inputs import tokens_input

    return tokens_input(list(tokens), cache_salt=cache_salt)


def _failed(error: BaseException) -> ModelError:
    """The text has the kind of error only: vLLM's own may quote the request."""
    if isinstance(error, ModelError):
        return error
    return ModelError(f"the engine could not answer ({type(error).__name__})", _HINT_LOG)


def _config(folder: Path) -> dict[str, Any]:
    try:
        config: dict[str, Any] = json.loads((folder / "config.json").read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{folder / 'config.json'} cannot be read", "give the folder of a saved model") from error
    return config


def _context(folder: Path, wanted: int) -> int:
    """The wanted context, or the model's own if that is shorter."""
    return min(wanted, int(_config(folder).get("max_position_embeddings", wanted)))


def _cache_bytes(folder: Path, dtype: str, tokens: int) -> int:
    """Bytes of keys and values of so many tokens: 2 x layers x heads x width x bytes of a number."""
    config = _config(folder)
    heads = config.get("num_key_value_heads") or config.get("num_attention_heads", 32)
    width = config.get("head_dim") or config.get("hidden_size", 4096) // config.get("num_attention_heads", 32)
    return int(2 * config.get("num_hidden_layers", 32) * heads * width * (4 if dtype == "float32" else 2) * tokens)


def _rank(adapter: Path) -> int:
    """The adapter's rank, rounded up to one that vLLM serves."""
    try:
        rank = int(json.loads((adapter / "adapter_config.json").read_text("utf-8"))["r"])
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(
            f"{adapter} is no adapter: its adapter_config.json cannot be read", "give the folder of a saved adapter"
        ) from error
    return next((known for known in (1, 8, 16, 32, 64, 128, 256, 320, 512) if known >= rank), rank)
