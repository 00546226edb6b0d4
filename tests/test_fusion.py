"""Fusion by hand, and the weight of the language model: what the validation slates support, and no more."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax

from genrec.errors import WorkspaceError
from genrec.fusion import UNMEASURED_LLM_WEIGHT, Fusion, Slate, Weights

SCORES = st.lists(st.floats(-100, 100), min_size=1, max_size=12)


def slates(seed, weights, n=400, size=20, llm=True):
    """Slates whose target is chosen by a softmax over weighted standard normal parts (retriever, logit P, model)."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(n):
        parts = rng.normal(size=(3, size))
        target = int(np.argmax(np.array(weights) @ parts + rng.gumbel(size=size)))
        made.append(Slate(parts[0], target, 1 / (1 + np.exp(-parts[1])), parts[2] if llm else None))
    return made


def test_score_by_hand():
    fusion = Fusion(without_llm=Weights(retriever=2.0, p_click=1.0), with_llm=Weights(retriever=0.0, llm=1.0))
    # Standardised retriever scores of (1, 3) are (-1, 1), logits of (.9, .1) are (1, -1) after standardisation.
    np.testing.assert_allclose(fusion.score([1, 3], None, [0.9, 0.1]), [-1, 1])
    np.testing.assert_allclose(fusion.score([1, 3], [5.0, 4.0], [0.9, 0.1]), [1, -1])


def test_rank_part_by_hand():
    fusion = Fusion(without_llm=Weights(retriever=0, retriever_rank=1))
    raw = -np.log([3, 1, 2])
    np.testing.assert_allclose(fusion.score([0.1, 9.0, 0.2], None, None), (raw - raw.mean()) / raw.std())


def test_a_part_that_is_equal_everywhere_or_absent_decides_nothing():
    fusion = Fusion()
    np.testing.assert_array_equal(fusion.score([2, 2, 2], [7.0, 7.0, 7.0], None), [0, 0, 0])
    np.testing.assert_array_equal(fusion.score([1, 2], None, None), fusion.score([1, 2], None, [0.3, 0.3]))
    assert fusion.score([], None, None).tolist() == []


@given(SCORES, st.randoms(use_true_random=False))
def test_the_order_of_the_slate_is_no_input(values, random):
    order = list(range(len(values)))
    random.shuffle(order)
    retriever = np.array(values)
    p, llm = 1 / (1 + np.exp(-retriever[::-1] / 50)), np.sin(retriever)
    fusion = Fusion(with_llm=Weights(1, 0.5, 0.7, 0.3))
    moved = fusion.score(retriever[order], llm[order], p[order])
    np.testing.assert_allclose(moved, fusion.score(retriever, llm, p)[order], atol=1e-6)


def test_the_weights_that_made_the_choices_are_found():
    made = slates(0, (1.0, 0.5, 0.25), n=3000)
    fusion = Fusion.fit(made, made, l2=0.0)
    found = fusion.with_llm
    assert found.retriever + found.retriever_rank == pytest.approx(1.0, abs=0.1)
    assert (found.p_click, found.llm) == (pytest.approx(0.5, abs=0.06), pytest.approx(0.25, abs=0.06))
    assert fusion.without_llm.llm == 0
    assert (fusion.slates, fusion.llm_slates) == (3000, 3000)


def test_probabilities_that_mislead_get_no_weight():
    assert Fusion.fit(slates(1, (1.0, -1.0, 0.0))).without_llm.p_click == 0


def test_the_fit_is_the_minimum_of_its_loss():
    made = slates(2, (1.0, 0.5, 0.0), n=100)

    def loss(weights):
        fusion = Fusion(without_llm=weights)
        losses = [-log_softmax(fusion.score(one.retriever, None, one.p_click))[one.target] for one in made]
        vector = np.array([weights.retriever, weights.retriever_rank, weights.p_click])
        return np.mean(losses) + 0.01 * vector @ vector

    best = Fusion.fit(made).without_llm
    for change in (-0.05, 0.05):
        assert loss(Weights(best.retriever + change, best.retriever_rank, best.p_click)) >= loss(best)
        assert loss(Weights(best.retriever, best.retriever_rank, best.p_click + change)) >= loss(best)


@pytest.mark.parametrize("nothing", [[], [Slate(np.array([1.0]), 0)]])
def test_without_slates_the_retriever_decides(nothing):
    fusion = Fusion.fit(nothing)
    assert fusion == Fusion.default()
    assert np.argmax(fusion.score([1.0, 5.0, 2.0], None, [0.9, 0.1, 0.5])) == 1


def test_saved_weights_are_the_same(tmp_path):
    fusion = Fusion.fit(slates(4, (1.0, 0.5, 0.3), n=50))
    fusion.save(tmp_path)
    assert Fusion.load(tmp_path) == fusion


@pytest.mark.parametrize(
    "text", ["", "{}", '{"without_llm": {"other": 1}, "with_llm": {}, "slates": 0, "llm_slates": 0}']
)
def test_broken_weights_are_a_message(tmp_path, text):
    (tmp_path / "fusion.json").write_text(text)
    with pytest.raises(WorkspaceError, match="genrec fit"):
        Fusion.load(tmp_path)


def pulled(count: int, signal: float, seed: int = 0) -> list[Slate]:
    """Slates of ten whose target draws the retriever's score up a little, and the model's by `signal`."""
    random = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        target = int(random.integers(10))
        pull = np.eye(10)[target]
        found.append(Slate(random.normal(size=10) + pull, target, None, random.normal(size=10) + signal * pull))
    return found


def test_a_model_that_knows_gets_a_weight() -> None:
    made = pulled(200, 2.0)
    fusion = Fusion.fit(made, made[:60])
    assert fusion.with_llm.llm > 0.5
    assert fusion.with_llm.retriever == fusion.without_llm.retriever
    assert (fusion.slates, fusion.llm_slates) == (200, 60)


@pytest.mark.parametrize("seed", range(5))
def test_a_model_that_misleads_gets_none(seed: int) -> None:
    made = pulled(200, -1.0, seed)
    assert Fusion.fit(made, made[:60]).with_llm.llm == pytest.approx(0, abs=1e-4)


def test_a_model_that_guesses_mostly_gets_none() -> None:
    weights = [Fusion.fit(made, made).with_llm.llm for made in (pulled(60, 0.0, seed) for seed in range(30))]
    assert np.mean(np.array(weights) < 1e-4) > 0.7


def test_an_unread_model_breaks_ties() -> None:
    fusion = Fusion.fit(pulled(50, 2.0))
    assert fusion.with_llm.llm == UNMEASURED_LLM_WEIGHT
    assert fusion.score([1.0, 1.0], [0.0, 1.0], None).argmax() == 1
