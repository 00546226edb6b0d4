"""The weight of the language model is what the validation slates support, and no more."""

import numpy as np
import pytest

from genrec.fusion import UNMEASURED_LLM_WEIGHT, Fusion, Slate


def slates(count: int, signal: float, seed: int = 0) -> list[Slate]:
    """Slates of ten whose target draws the retriever's score up a little, and the model's by `signal`."""
    random = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        target = int(random.integers(10))
        pull = np.eye(10)[target]
        found.append(Slate(random.normal(size=10) + pull, target, None, random.normal(size=10) + signal * pull))
    return found


def test_a_model_that_knows_gets_a_weight() -> None:
    made = slates(200, 2.0)
    fusion = Fusion.fit(made, made[:60])
    assert fusion.with_llm.llm > 0.5
    assert fusion.with_llm.retriever == fusion.without_llm.retriever
    assert (fusion.slates, fusion.llm_slates) == (200, 60)


@pytest.mark.parametrize("seed", range(5))
def test_a_model_that_misleads_gets_none(seed: int) -> None:
    made = slates(200, -1.0, seed)
    assert Fusion.fit(made, made[:60]).with_llm.llm == pytest.approx(0, abs=1e-4)


def test_a_model_that_guesses_mostly_gets_none() -> None:
    weights = [Fusion.fit(made, made).with_llm.llm for made in (slates(60, 0.0, seed) for seed in range(30))]
    assert np.mean(np.array(weights) < 1e-4) > 0.7


def test_an_unread_model_breaks_ties() -> None:
    fusion = Fusion.fit(slates(50, 2.0))
    assert fusion.with_llm.llm == UNMEASURED_LLM_WEIGHT
    assert fusion.score([1.0, 1.0], [0.0, 1.0], None).argmax() == 1
