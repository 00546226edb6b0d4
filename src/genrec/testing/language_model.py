"""The contract of language models behind any engine."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import numpy as np
import pytest

from genrec.llm.base import LabelChoice, LanguageModel

PROMPTS = [[5, 6, 7], [5, 6, 8, 9], [11]]
TOKENS = [20, 21, 22, 23]


class LanguageModelContract:
    """Override `model`, and `run` if the model belongs to one event loop."""

    @pytest.fixture
    def model(self) -> LanguageModel:
        """The model, loaded."""
        raise NotImplementedError

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """The outcome of a coroutine."""
        return asyncio.run(coroutine)

    def generated(self, model: LanguageModel, k: int, seed: int = 0, temperature: float = 0.0) -> list[LabelChoice]:
        """K labels behind the first prompt."""

        async def collect() -> list[LabelChoice]:
            stream = model.generate_labels(PROMPTS[0], TOKENS, k, seed=seed, temperature=temperature)
            return [choice async for choice in stream]

        found: list[LabelChoice] = self.run(collect())
        return found

    def test_scores_are_log_probabilities(self, model: LanguageModel) -> None:
        scores = self.run(model.score_tokens(PROMPTS, TOKENS))
        assert scores.shape == (len(PROMPTS), len(TOKENS))
        assert np.isfinite(scores).all()
        assert (scores <= 0).all()

    def test_prompts_together_are_prompts_alone(self, model: LanguageModel) -> None:
        together = self.run(model.score_tokens(PROMPTS, TOKENS))
        alone = [self.run(model.score_tokens([prompt], TOKENS))[0] for prompt in PROMPTS]
        np.testing.assert_allclose(together, alone, atol=0 if model.exact else 1e-3)

    def test_labels_are_distinct_and_the_first_is_the_likeliest(self, model: LanguageModel) -> None:
        choices = self.generated(model, len(TOKENS))
        assert sorted(choice.label for choice in choices) == list(range(len(TOKENS)))
        scores = self.run(model.score_tokens(PROMPTS[:1], TOKENS))[0]
        assert choices[0].label == int(scores.argmax())
        assert choices[0].logprob == pytest.approx(float(scores.max()), abs=1e-3)

    def test_a_seed_repeats_what_was_drawn(self, model: LanguageModel) -> None:
        drawn = [self.generated(model, 3, seed=4, temperature=1.0) for _ in range(2)]
        assert [one.label for one in drawn[0]] == [one.label for one in drawn[1]]
