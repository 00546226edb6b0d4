"""Memo of a language model kept on disk by content: interrupted evaluations resume, repeated ones cost seconds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from genrec.artifacts.memo import Memo
from genrec.llm.arguments import BLOCK
from genrec.llm.base import LabelChoice, LanguageModel, LogProbs

Load = Callable[[], Awaitable[LanguageModel]]


class CachedModel:
    """A language model that is asked only for what it was never asked before, and loaded only when it is asked.

    The key covers everything an answer depends on: `fingerprint` of the model (weights, adapter, engine, dtype), the
    token ids of the prompt, and what is asked of it. Every answer is on disk before it is returned. `hits` and
    `misses` count prompts. Only for evaluation: a server has the engine's own prefix cache.
    """

    def __init__(self, load: Load, reads: Memo, fingerprint: str, model: LanguageModel | None = None) -> None:
        """Use `open`. Without `model` the reads must have the facts of an earlier one of the same fingerprint."""
        self._load, self._reads, self._fingerprint, self._model = load, reads, fingerprint, model
        self.hits = self.misses = 0
        key = self._key(f"facts {BLOCK}", (), None)  # what prompts are padded to is among them
        if model is not None:
            facts = [model.name, model.adapter, model.context, model.block, model.exact]
            reads.put([(key, json.dumps(facts).encode())])
        self.name: str
        self.adapter: str | None
        self.context: int
        self.block: int
        self.exact: bool
        self.name, self.adapter, self.context, self.block, self.exact = json.loads(reads.get(key) or b"")

    @classmethod
    async def open(cls, load: Load, path: Path, fingerprint: str) -> Self:
        """Opens the cache at `path`; calls `load` at once only if it holds nothing of this model yet."""
        reads = Memo(path)
        try:
            try:
                return cls(load, reads, fingerprint)
            except ValueError:
                return cls(load, reads, fingerprint, await load())
        except BaseException:
            reads.close()
            raise

    async def score_tokens(
        self, prompts: Sequence[Sequence[int]], token_ids: Sequence[int], *, cache_salt: str | None = None
    ) -> LogProbs:
        """See LanguageModel. Prompts that are not known yet are read together."""
        keys = [self._key("read", prompt, list(token_ids)) for prompt in prompts]
        known = [self._reads.get(key) for key in keys]
        missing = [index for index, value in enumerate(known) if value is None]
        self._count(len(prompts), len(missing))
        if missing:
            model = await self._loaded()
            fresh = await model.score_tokens([prompts[index] for index in missing], token_ids, cache_salt=cache_salt)
            rows = [np.ascontiguousarray(row, dtype="<f4").tobytes() for row in fresh]
            self._reads.put([(keys[index], row) for index, row in zip(missing, rows, strict=True)])
            for index, row in zip(missing, rows, strict=True):
                known[index] = row
        values = [np.frombuffer(value, dtype="<f4") for value in known if value is not None]
        return np.stack(values) if values else np.zeros((0, len(token_ids)), dtype=np.float32)

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
        """See LanguageModel. Kept once it is complete."""
        key = self._key("generate", prompt, [list(labels), k, temperature, seed])
        known = self._reads.get(key)
        self._count(1, int(known is None))
        if known is not None:
            for label, logprob in json.loads(known):
                yield LabelChoice(label, logprob)
            return
        model, choices = await self._loaded(), []
        async for choice in model.generate_labels(
            prompt, labels, k, temperature=temperature, seed=seed, cache_salt=cache_salt
        ):
            choices.append((choice.label, choice.logprob))
            yield choice
        self._reads.put([(key, json.dumps(choices).encode())])

    async def generate_text(self, prompt: Sequence[int], **options: Any) -> AsyncIterator[str]:
        """See LanguageModel. Not kept: nothing that is measured is made of it."""
        async for piece in (await self._loaded()).generate_text(prompt, **options):
            yield piece

    async def close(self) -> None:
        """Closes the cache, and the engine if it was loaded."""
        self._reads.close()
        if self._model is not None:
            await self._model.close()

    async def _loaded(self) -> LanguageModel:
        if self._model is None:
            self._model = await self._load()
        return self._model

    def _key(self, verb: str, prompt: Sequence[int], asked: object) -> bytes:
        digest = hashlib.sha256(json.dumps([self._fingerprint, verb, asked]).encode())
        digest.update(np.asarray(prompt, dtype="<i8").tobytes())
        return digest.digest()

    def _count(self, asked: int, missing: int) -> None:
        self.hits += asked - missing
        self.misses += missing
