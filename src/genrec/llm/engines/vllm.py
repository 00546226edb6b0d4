"""vLLM: in a running server's engine (`VllmServed`) and in a thread of this process (`VllmOffline`)."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import math
import queue
import threading
import uuid
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from concurrent.futures import Future
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from genrec.artifacts.adapters import label
from genrec.errors import ModelError
from genrec.llm import hardware
from genrec.llm.arguments import BLOCK, engine_arguments, set_environment
from genrec.llm.base import LabelChoice, LogProbs
from genrec.llm.checks import check_generate, check_read, check_write
from genrec.settings import ModelSettings

if TYPE_CHECKING:
    from vllm import RequestOutput, SamplingParams
    from vllm.engine.protocol import EngineClient
    from vllm.inputs import TokensInput
    from vllm.lora.request import LoRARequest
    from vllm.v1.engine.llm_engine import LLMEngine

__all__ = ["VllmOffline", "VllmServed", "engine_arguments", "load", "set_environment"]

READ_LIMIT = 128
"""Most token ids for which vLLM returns log-probabilities in one request."""


class _VllmModel(ABC):
    """All verbs over an engine that answers many requests at once."""

    exact = False

    def __init__(self, name: str, context: int, block: int, adapter: str | None = None) -> None:
        self.name = name
        self.adapter = adapter
        self.context = context
        self.block = math.lcm(BLOCK, block)  # `block` is the engine's own

    async def score_tokens(
        self, prompts: Sequence[Sequence[int]], token_ids: Sequence[int], *, cache_salt: str | None = None
    ) -> LogProbs:
        """See `LanguageModel.score_tokens`: one request of one token for each prompt, all submitted together."""
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

    async def generate_labels(
        self,
        prompt: Sequence[int],
        labels: Sequence[int],
        k: int,
        *,
        temperature: float = 0.0,
        seed: int = 0,
        cache_salt: str | None = None,
    ) -> AsyncIterator[LabelChoice]:
        """See `LanguageModel.generate_labels`: one request of k tokens under `genrec.llm.constraint`."""
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
                for token, found in zip(output.token_ids, output.logprobs or (), strict=False):
                    if token not in position:
                        raise ModelError("the engine emitted something that is no label", _HINT_PROCESSOR)
                    emitted += 1
                    yield LabelChoice(position.pop(token), float(found[token].logprob))
        if emitted != k:
            raise ModelError(f"the engine emitted {emitted} labels instead of {k}", _HINT_LOG)

    async def generate_text(
        self,
        prompt: Sequence[int],
        *,
        max_tokens: int,
        temperature: float = 0.0,
        seed: int = 0,
        stop: Sequence[str] = (),
        cache_salt: str | None = None,
    ) -> AsyncIterator[str]:
        """See `LanguageModel.generate_text`."""
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        check_write(prompt, max_tokens, self.context)
        params = SamplingParams(
            max_tokens=max_tokens,
            temperature=temperature,
            seed=seed,
            stop=list(stop),
            output_kind=RequestOutputKind.DELTA,
        )
        async with aclosing(self._answers([(prompt, params)], cache_salt)) as answers:
            async for _, answer in answers:
                if piece := answer.outputs[0].text:
                    yield piece

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

    def __init__(
        self, engine_client: EngineClient, name: str, *, adapter: str | None = None, lora: LoRARequest | None = None
    ) -> None:
        config = engine_client.vllm_config
        super().__init__(
            name, config.model_config.max_model_len, config.cache_config.block_size, lora.lora_name if lora else adapter
        )
        self._client = engine_client
        self._lora = lora

    async def with_adapter(self, folder: Path) -> VllmServed:
        """The same engine under a live adapter, which is loaded here. ModelError if the engine refuses it.

        Loading it by itself keeps its faults out of the engine's steps, where one would end the engine.
        """
        lora = _lora_request(folder)
        try:
            await self._client.add_lora(lora)
        except Exception as error:
            raise ModelError(
                f"the engine cannot load the adapter {label(folder)} ({type(error).__name__})",
                "it must be made for the base model, with no greater rank than the adapters known at the start",
            ) from error
        return VllmServed(self._client, self.name, lora=lora)

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
                # One whose next answer was just cancelled still runs, refuses this, and ends by itself.
                with suppress(RuntimeError):
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
        # The loop of a caller that went away may close at any moment: that is no fault of the engine.
        with suppress(RuntimeError):
            self.loop.call_soon_threadsafe(self.answers.put_nowait, answer)


class VllmOffline(_VllmModel):
    """Owns an engine that steps in one thread; requests of all callers are batched continuously."""

    def __init__(
        self, arguments: dict[str, Any], name: str, *, adapter: str | None = None, lora: LoRARequest | None = None
    ) -> None:
        """Loads the model (tens of seconds). `arguments` are those of `engine_arguments`. Raises ModelError."""
        self._lora = lora
        self._inbox: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._names = itertools.count()
        self._dead: BaseException | None = None
        self._ended = False
        self._gate = threading.Lock()
        started: Future[tuple[int, int]] = Future()
        self._thread = threading.Thread(target=self._run, args=(arguments, started), name="genrec-vllm", daemon=True)
        self._thread.start()
        try:
            context, block = started.result()
        except Exception as error:
            said = (str(error).splitlines() or [""])[0][:300]
            raise ModelError(
                f"vLLM could not load the model ({type(error).__name__}: {said})",
                "look at `genrec doctor`; set VLLM_LOGGING_LEVEL=INFO for vLLM's own account",
            ) from error
        super().__init__(name, context, block, lora.lora_name if lora else adapter)

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
        with self._gate:
            if self._ended:
                raise ModelError("the engine has stopped", _HINT_LOG) from self._dead
            self._inbox.put(job)
        unfinished = len(requests)
        try:
            while unfinished:
                answer = await job.answers.get()
                if isinstance(answer, ModelError):
                    raise answer
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
            engine = start_engine(arguments)
            config = engine.vllm_config
        except BaseException as error:
            started.set_exception(error)
            return
        started.set_result((config.model_config.max_model_len, config.cache_config.block_size))
        running: dict[str, tuple[_Job, int]] = {}
        try:
            while self._admit(engine, running):
                for answer in engine.step():
                    if (place := running.get(answer.request_id)) is not None:
                        if answer.finished:
                            del running[answer.request_id]
                        place[0].send((place[1], answer))
        except BaseException as error:
            self._dead = error
        finally:
            engine.engine_core.shutdown()
            waiting = {id(job): job for job, _ in running.values()}
            with self._gate:
                self._ended = True
                while not self._inbox.empty():
                    if (left := self._inbox.get()) is not None:
                        waiting[id(left)] = left
            for job in waiting.values():
                job.send(self._dead or ModelError("the engine was closed"))

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
    live = [] if adapter_path is None else [adapter_path]
    arguments = await asyncio.to_thread(engine_arguments, settings, device, live=live)
    lora = None if adapter_path is None else await asyncio.to_thread(_lora_request, adapter_path)
    adapter = None if settings.adapter is None else label(Path(settings.adapter))
    return await asyncio.to_thread(VllmOffline, arguments, settings.name, adapter=adapter, lora=lora)


_HINT_LOG = "look at the engine's log (VLLM_LOGGING_LEVEL=INFO), and restart it"
_HINT_PROCESSOR = "start the server with --logits-processors genrec.llm.constraint:DistinctLabels (genrec serve does)"


def _lora_request(folder: Path) -> LoRARequest:
    """Name, number and path are those of the version: the engine keeps cached prefixes apart by them.

    The number follows from the path, so that several server processes on one engine agree on it.
    """
    from vllm.lora.request import LoRARequest

    path = str(folder.resolve())
    number = 1 + int.from_bytes(hashlib.sha256(path.encode()).digest()[:4]) % (2**31 - 1)
    return LoRARequest(label(folder), number, path)


def start_engine(arguments: dict[str, Any]) -> LLMEngine:
    from vllm import EngineArgs
    from vllm.v1.engine.llm_engine import LLMEngine

    return LLMEngine.from_engine_args(EngineArgs(**arguments, disable_log_stats=True))


def _prompt(tokens: Sequence[int], cache_salt: str | None) -> TokensInput:
    from vllm.inputs import tokens_input

    return tokens_input(list(tokens), cache_salt=cache_salt)


def _failed(error: BaseException) -> ModelError:
    """The text has the kind of error only: vLLM's own may quote the request."""
    return ModelError(f"the engine could not answer ({type(error).__name__})", _HINT_LOG)
