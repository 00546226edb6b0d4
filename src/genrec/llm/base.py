"""What genrec asks of a language model: three verbs. Everything else stays with the engine."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

LogProbs = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class LabelChoice:
    """One generated label: its position in the list of labels, and its log-probability before the constraint.

    `logprob` is over the full vocabulary, given the prompt and the labels already emitted.
    """

    label: int
    logprob: float


class LanguageModel(Protocol):
    """A causal language model behind some engine. One alternative is one module of `genrec.llm`."""

    name: str
    adapter: str | None
    context: int
    """Longest prompt in tokens, the generated ones included."""
    block: int
    """Tokens of one prefix-cache block; shared prefixes are padded to a multiple of it. 1 where there is no cache."""
    exact: bool
    """Whether equal prompts give bit-identical log-probabilities however they are batched."""

    async def score_tokens(
        self, prompts: Sequence[Sequence[int]], token_ids: Sequence[int], *, cache_salt: str | None = None
    ) -> LogProbs:
        """Natural log-probabilities of the next token [P, T], over the full vocabulary, for each prompt and token id.

        Prompts that share a prefix and are given together are computed together. Raises ModelError.
        """

    def generate_labels(
        self,
        prompt: Sequence[int],
        labels: Sequence[int],
        k: int,
        *,
        temperature: float = 0.0,
        seed: int = 0,
        cache_salt: str | None = None,
    ) -> AsyncIterator[LabelChoice]:
        """Generates k distinct labels (token ids) one after another: never one twice, never anything else.

        Yields each as soon as it is fixed. 1 <= k <= len(labels).
        """

    def generate_text(
        self,
        prompt: Sequence[int],
        *,
        max_tokens: int,
        temperature: float = 0.0,
        seed: int = 0,
        stop: Sequence[str] = (),
        cache_salt: str | None = None,
    ) -> AsyncIterator[str]:
        """Free text behind a prompt, in pieces as they come; special tokens are not in it.

        Ends at the model's own end, before the first of the texts `stop`, or after `max_tokens`. Raises ModelError.
        """

    async def close(self) -> None:
        """Frees the engine."""
