"""A language model that reads together what is asked of it at the same time, each prompt once."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from genrec.llm.base import LabelChoice, LanguageModel, LogProbs
from genrec.llm.wrappers import DelegatingModel

Prompt = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class _Asked:
    prompts: list[Prompt]
    token_ids: Prompt
    answer: asyncio.Future[LogProbs]


class BatchingModel(DelegatingModel):
    """Attacks on one slate share most of their prompts: read together, the shared part is computed once.

    Texts and labels are generated one after another. Where a read fails, only the first who
    asked is told: anyone who runs them at once ends the others. `cache_salt` of reads is not passed on.
    """

    def __init__(self, model: LanguageModel) -> None:
        super().__init__(model)
        self._asked: list[_Asked] = []
        self._turn = asyncio.Lock()

    async def score_tokens(
        self, prompts: Sequence[Sequence[int]], token_ids: Sequence[int], *, cache_salt: str | None = None
    ) -> LogProbs:
        """See LanguageModel."""
        asked = _Asked([tuple(prompt) for prompt in prompts], tuple(token_ids), asyncio.Future())
        self._asked.append(asked)
        await asyncio.sleep(0)  # anyone who asks in the same turn of the loop has asked by now
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
            found = await self.inner.score_tokens(list(rows), token_ids)
            for asked in group:
                asked.answer.set_result(found[[rows[prompt] for prompt in asked.prompts]])

    async def generate_labels(
        self, prompt: Sequence[int], labels: Sequence[int], k: int, **options: Any
    ) -> AsyncIterator[LabelChoice]:
        """See LanguageModel."""
        async with self._turn:
            async for choice in super().generate_labels(prompt, labels, k, **options):
                yield choice
