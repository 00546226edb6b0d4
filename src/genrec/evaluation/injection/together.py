"""A language model that reads together what is asked of it at the same time, each prompt once."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from genrec.llm.base import LabelChoice, LanguageModel, LogProbs

Prompt = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class _Asked:
    prompts: list[Prompt]
    token_ids: Prompt
    answer: asyncio.Future[LogProbs]


class BatchingModel:
    """Attacks on one slate share most of their prompts: read together, the shared part is computed once.

    Implements `LanguageModel`. Texts and labels are generated one after another. Where a read fails, only the first who
    asked is told: whoever runs them at once ends the others. `cache_salt` of reads is not passed on.
    """

    def __init__(self, model: LanguageModel) -> None:
        self.name, self.adapter, self.context = model.name, model.adapter, model.context
        self.block, self.exact = model.block, model.exact
        self._model = model
        self._asked: list[_Asked] = []
        self._turn = asyncio.Lock()

    async def score_tokens(
        self, prompts: Sequence[Sequence[int]], token_ids: Sequence[int], *, cache_salt: str | None = None
    ) -> LogProbs:
        """See LanguageModel."""
        asked = _Asked([tuple(prompt) for prompt in prompts], tuple(token_ids), asyncio.Future())
        self._asked.append(asked)
        await asyncio.sleep(0)  # whoever asks in the same turn of the loop has asked by now
        async with self._turn:
            # The first to come here serves all who wait; the others find their answer.
            waiting, self._asked = self._asked, []
            await self._serve(waiting)
        return await asked.answer

    async def _serve(self, waiting: Sequence[_Asked]) -> None:
        groups: dict[Prompt, list[_Asked]] = defaultdict(list)
        for asked in waiting:
            groups[asked.token_ids].append(asked)
        for token_ids, group in groups.items():
            rows = {prompt: row for row, prompt in enumerate(dict.fromkeys(p for one in group for p in one.prompts))}
            found = await self._model.score_tokens(list(rows), token_ids)
            for asked in group:
                asked.answer.set_result(found[[rows[prompt] for prompt in asked.prompts]])

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
        """See LanguageModel."""
        async with self._turn:
            async for choice in self._model.generate_labels(
                prompt, labels, k, temperature=temperature, seed=seed, cache_salt=cache_salt
            ):
                yield choice

    def generate_text(self, prompt: Sequence[int], **options: Any) -> AsyncIterator[str]:
        """See `LanguageModel.write`."""
        return self._model.generate_text(prompt, **options)

    async def close(self) -> None:
        """See LanguageModel."""
        await self._model.close()
