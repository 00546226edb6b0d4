"""A language model that is another one, but for what a subclass changes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from genrec.llm.base import LabelChoice, LanguageModel, LogProbs


class DelegatingModel:
    """Satisfies `LanguageModel` by `inner`. Subclasses override the verbs that they change."""

    def __init__(self, inner: LanguageModel) -> None:
        self.inner = inner
        self.name, self.adapter, self.context = inner.name, inner.adapter, inner.context
        self.block, self.exact = inner.block, inner.exact

    async def score_tokens(
        self, prompts: Sequence[Sequence[int]], token_ids: Sequence[int], *, cache_salt: str | None = None
    ) -> LogProbs:
        """See `LanguageModel.score_tokens`."""
        return await self.inner.score_tokens(prompts, token_ids, cache_salt=cache_salt)

    def generate_labels(
        self, prompt: Sequence[int], labels: Sequence[int], k: int, **options: Any
    ) -> AsyncIterator[LabelChoice]:
        """See `LanguageModel.generate_labels`."""
        return self.inner.generate_labels(prompt, labels, k, **options)

    def generate_text(self, prompt: Sequence[int], **options: Any) -> AsyncIterator[str]:
        """See `LanguageModel.generate_text`."""
        return self.inner.generate_text(prompt, **options)

    async def close(self) -> None:
        """See `LanguageModel.close`."""
        await self.inner.close()
