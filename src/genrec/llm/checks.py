"""What every engine checks before it computes, and how a label is drawn where genrec draws it itself."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from genrec.errors import ModelError
from genrec.llm.base import LogProbs


def check_read(prompts: Sequence[Sequence[int]], token_ids: Sequence[int], context: int) -> None:
    """ValueError for wrong calls; ModelError for a prompt that does not fit the context with one token more."""
    if not token_ids:
        raise ValueError("no token to read")
    if any(not prompt for prompt in prompts):
        raise ValueError("an empty prompt cannot be read")
    _check_length(max(map(len, prompts), default=0) + 1, context)


def check_generate(prompt: Sequence[int], labels: Sequence[int], k: int, context: int) -> None:
    """ValueError for wrong calls; ModelError for a prompt that does not fit the context with k tokens more."""
    if len(set(labels)) != len(labels):
        raise ValueError("labels are not distinct")
    if not 1 <= k <= len(labels):
        raise ValueError(f"k is {k}, but there are {len(labels)} labels")
    if not prompt:
        raise ValueError("an empty prompt cannot be continued")
    _check_length(len(prompt) + k, context)


def check_write(prompt: Sequence[int], max_tokens: int, context: int) -> None:
    """ValueError for wrong calls; ModelError for a prompt that does not fit the context with `max_tokens` more."""
    if not prompt:
        raise ValueError("an empty prompt cannot be continued")
    if max_tokens < 1:
        raise ValueError("a text has one token at least")
    _check_length(len(prompt) + max_tokens, context)


def _check_length(tokens: int, context: int) -> None:
    if tokens > context:
        raise ModelError(
            f"a prompt needs {tokens} tokens, but the model's context holds {context}",
            "raise `context` in the section [model] of the settings, or shorten history or slate",
        )


def generator(seed: int) -> np.random.Generator:
    """A source of draws that depends on the seed alone; any integer will do."""
    return np.random.default_rng(seed & 0xFFFFFFFFFFFFFFFF)


def draw(logprobs: LogProbs, emitted: Sequence[int], temperature: float, random: np.random.Generator) -> int:
    """Position of the next label: the most likely (temperature 0) or a draw, among those not emitted yet.

    Adding Gumbel noise to the scaled log-probabilities and taking the largest draws from their softmax.
    """
    scores = logprobs.astype(np.float64)
    if temperature > 0:
        scores = scores / temperature + random.gumbel(size=len(scores))
    scores[list(emitted)] = -np.inf
    return int(scores.argmax())
