"""A language model without a language model: deterministic log-probabilities, delays and failures, for tests."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from genrec.errors import ModelError
from genrec.llm.base import LabelChoice, LogProbs
from genrec.llm.checks import check_generate, check_read, check_write, draw, generator
from genrec.llm.texts import until
from genrec.settings import ModelSettings

VOCABULARY = 50_000
"""Size of the vocabulary over which a uniform distribution would spread."""


class ScriptedModel:
    """Log-probabilities are a hash of (seed, prompt, token), a standard logistic around log(1 / VOCABULARY).

    `score(prompt, token_ids)` replaces the hash. What it writes is `text`, or `text(prompt)`, a word for each token.
    Every call takes `latency_s`; call number `fail_at` (from 0; reads, started generations and texts count) and all
    later ones raise ModelError; a generation that starts before it fails after `fail_after_labels` labels, and a text
    after as many words, if that is given.
    """

    adapter: str | None = None
    exact = True

    def __init__(
        self,
        seed: int = 0,
        *,
        name: str = "scripted",
        context: int = 1 << 20,
        block: int = 1,
        latency_s: float = 0.0,
        fail_at: int | None = None,
        fail_after_labels: int | None = None,
        score: Callable[[Sequence[int], Sequence[int]], Sequence[float]] | None = None,
        text: str | Callable[[Sequence[int]], str] = "This was scripted.",
    ) -> None:
        self.name = name
        self.context = context
        self.block = block
        self.calls = 0
        self.prompts_read = 0
        self.closed = False
        self._seed = seed
        self._latency_s = latency_s
        self._fail_at = fail_at
        self._fail_after_labels = fail_after_labels
        self._score, self.text = score, text

    async def score_tokens(
        self, prompts: Sequence[Sequence[int]], token_ids: Sequence[int], *, cache_salt: str | None = None
    ) -> LogProbs:
        """See `LanguageModel.score_tokens`."""
        check_read(prompts, token_ids, self.context)
        await self._start()
        self.prompts_read += len(prompts)
        return np.array([self._row(prompt, token_ids) for prompt in prompts], np.float32).reshape(-1, len(token_ids))

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
        """See `LanguageModel.generate_labels`."""
        check_generate(prompt, labels, k, self.context)
        await self._start()
        random = generator(seed)
        emitted: list[int] = []
        for _ in range(k):
            if self._fail_after_labels is not None and len(emitted) >= self._fail_after_labels:
                raise ModelError("the scripted model failed while it generated", "this is a test")
            logprobs = self._row([*prompt, *(labels[label] for label in emitted)], labels)
            label = draw(logprobs, emitted, temperature, random)
            emitted.append(label)
            yield LabelChoice(label, float(logprobs[label]))

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
        check_write(prompt, max_tokens, self.context)
        await self._start()
        text = self.text if isinstance(self.text, str) else self.text(prompt)
        async for piece in until(self._words(text, max_tokens), stop):
            yield piece

    async def _words(self, text: str, most: int) -> AsyncIterator[str]:
        for number, word in enumerate(re.findall(r"\s*\S+\s*?", text)[:most]):
            if self._fail_after_labels is not None and number >= self._fail_after_labels:
                raise ModelError("the scripted model failed while it wrote", "this is a test")
            yield word

    async def close(self) -> None:
        """See `LanguageModel.close`."""
        self.closed = True

    async def _start(self) -> None:
        call, self.calls = self.calls, self.calls + 1
        if self._latency_s:
            await asyncio.sleep(self._latency_s)
        if self._fail_at is not None and call >= self._fail_at:
            raise ModelError("the scripted model failed", "this is a test")

    def _row(self, prompt: Sequence[int], token_ids: Sequence[int]) -> LogProbs:
        if self._score is not None:
            return np.asarray(self._score(prompt, token_ids), np.float32)
        state = np.uint64(hash((self._seed, *prompt)) & 0xFFFFFFFFFFFFFFFF)
        uniform = (_mix(np.asarray(token_ids, np.uint64) ^ state).astype(np.float64) / 2.0**64).clip(1e-9, 1 - 1e-9)
        row: LogProbs = np.minimum(np.log(uniform / (1 - uniform)) - np.log(VOCABULARY), -1e-6).astype(np.float32)
        return row


def _mix(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """The finalizer of SplitMix64 (Steele, Lea and Flood 2014): spreads every input bit over the word."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


async def load(settings: ModelSettings, *, adapter_path: Path | None = None) -> ScriptedModel:
    """A scripted model with the name and context of the settings."""
    return ScriptedModel(name=settings.name, context=settings.context)
