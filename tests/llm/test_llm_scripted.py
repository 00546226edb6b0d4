"""The scripted model, and the checks and the draw that all engines share."""

import asyncio
import math
import sys
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genrec.errors import MissingExtraError, ModelError
from genrec.llm import load
from genrec.llm.base import LabelChoice, LanguageModel
from genrec.llm.checks import check_generate, check_read, draw, generator
from genrec.llm.scripted import VOCABULARY, ScriptedModel
from genrec.settings import ModelSettings

TOKENS = st.lists(st.integers(0, 60_000), min_size=1, max_size=30)


def generated(
    model: LanguageModel, prompt: list[int], labels: list[int], k: int, **options: float
) -> list[LabelChoice]:
    async def collect() -> list[LabelChoice]:
        return [choice async for choice in model.generate_labels(prompt, labels, k, **options)]  # type: ignore[arg-type]

    return asyncio.run(collect())


@settings(deadline=None)
@given(prompts=st.lists(TOKENS, max_size=4), token_ids=TOKENS, seed=st.integers(0, 5))
def test_reads_are_log_probabilities_that_depend_on_prompt_and_token_only(
    prompts: list[list[int]], token_ids: list[int], seed: int
) -> None:
    async def reads() -> None:
        model = ScriptedModel(seed)
        together = await model.score_tokens(prompts, token_ids)
        assert together.shape == (len(prompts), len(token_ids))
        assert together.dtype == np.float32
        assert (together < 0).all()
        for row, prompt in enumerate(prompts):
            for column, token in enumerate(token_ids):
                assert (await model.score_tokens([prompt], [token]))[0, 0] == together[row, column]

    asyncio.run(reads())


def test_seeds_prompts_and_tokens_give_different_values() -> None:
    values = [
        asyncio.run(ScriptedModel(seed).score_tokens([[prompt]], [token]))[0, 0]
        for seed in range(4)
        for prompt in range(4)
        for token in range(4)
    ]
    assert len(set(values)) == 64


def test_values_are_spread_around_a_uniform_distribution() -> None:
    values = asyncio.run(ScriptedModel().score_tokens([[1]], range(20_000))) + math.log(VOCABULARY)
    assert abs(values.mean()) < 0.1
    assert abs(values.std() - math.pi / math.sqrt(3)) < 0.1  # of the standard logistic distribution


@settings(deadline=None)
@given(
    labels=st.lists(st.integers(0, 60_000), min_size=1, max_size=30, unique=True),
    prompt=TOKENS,
    temperature=st.sampled_from([0.0, 0.7]),
    seed=st.integers(-5, 5),
    data=st.data(),
)
def test_generation_yields_k_distinct_labels(
    labels: list[int], prompt: list[int], temperature: float, seed: int, data: st.DataObject
) -> None:
    k = data.draw(st.integers(1, len(labels)))
    choices = generated(ScriptedModel(), prompt, labels, k, temperature=temperature, seed=seed)
    assert len({choice.label for choice in choices}) == len(choices) == k
    assert all(0 <= choice.label < len(labels) for choice in choices)
    assert choices == generated(ScriptedModel(), prompt, labels, k, temperature=temperature, seed=seed)


def test_greedy_generation_takes_the_likeliest_label_that_is_left() -> None:
    model = ScriptedModel(score=lambda prompt, tokens: [-abs(token - len(prompt)) for token in tokens])
    choices = generated(model, [0, 0], [1, 2, 3, 4], 3)  # behind a prompt of n tokens the likeliest token is n
    assert choices == [LabelChoice(1, 0.0), LabelChoice(2, 0.0), LabelChoice(3, 0.0)]


def test_draws_follow_the_softmax_at_the_temperature() -> None:
    random = generator(7)
    logprobs = np.log(np.array([0.5, 0.3, 0.2], np.float32))
    counts = Counter(draw(logprobs, [], 2.0, random) for _ in range(6000))
    weights = np.sqrt([0.5, 0.3, 0.2])
    for label, share in enumerate(weights / weights.sum()):
        assert counts[label] / 6000 == pytest.approx(share, abs=0.03)
    assert {draw(logprobs, [0], 2.0, random) for _ in range(100)} == {1, 2}


def test_injected_failures() -> None:
    async def calls() -> None:
        model = ScriptedModel(fail_at=1)
        await model.score_tokens([[1]], [2])
        for _ in range(2):
            with pytest.raises(ModelError):
                await model.score_tokens([[1]], [2])

    asyncio.run(calls())
    with pytest.raises(ModelError):
        generated(ScriptedModel(fail_after_labels=2), [1], [1, 2, 3], 3)
    assert len(generated(ScriptedModel(fail_after_labels=2), [1], [1, 2, 3], 2)) == 2


def test_wrong_calls_are_value_errors_and_long_prompts_model_errors() -> None:
    check_read([[1, 2, 3]], [5], 4)
    with pytest.raises(ModelError, match="needs 4 tokens"):
        check_read([[1], [1, 2, 3]], [5], 3)
    with pytest.raises(ValueError, match="no token"):
        check_read([[1]], [], 10)
    with pytest.raises(ValueError, match="empty"):
        check_read([[]], [1], 10)
    check_generate([1, 2], [7, 8], 2, 4)
    with pytest.raises(ModelError, match="needs 4 tokens"):
        check_generate([1, 2], [7, 8], 2, 3)
    for k in (0, 3):
        with pytest.raises(ValueError, match="k is"):
            check_generate([1], [7, 8], k, 10)
    with pytest.raises(ValueError, match="distinct"):
        check_generate([1], [7, 7], 1, 10)
    with pytest.raises(ValueError, match="empty"):
        check_generate([], [7], 1, 10)


def test_an_engine_that_is_not_installed_is_a_missing_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)
    monkeypatch.delitem(sys.modules, "genrec.llm.engines.openai", raising=False)
    with pytest.raises(MissingExtraError, match="openai"):
        asyncio.run(load(ModelSettings(engine="openai")))
