"""What the language model's scores weigh: what slates of validation users support, and no more."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genrec.domain import LlmRankerKey
from genrec.scoring.llm_evidence import APART, FEWEST, UNMEASURED, LlmWeights, ScoredSlate, fit_llm_weights
from genrec.scoring.scorer import Scorer
from genrec.settings import Settings
from scoring_factories import make_world

SCORES = st.lists(st.floats(-100, 100), min_size=1, max_size=12)
LLM_RANKER = LlmRankerKey("base", None, "pointwise", "rank/pointwise")
TUNED = replace(LLM_RANKER, adapter="mine@2")


@pytest.fixture(scope="module")
def scorer():
    world = make_world(events=100)
    return Scorer.of_log(world.interactions, world.items, world.vectors, settings=Settings())


def test_each_language_model_has_weights_of_its_own(scorer):
    weighed = scorer.with_llm_weights(LLM_RANKER, pulled(60, 2.0)).with_llm_weights(TUNED, pulled(60, -1.0))
    knows, misleads = weighed.llm_weights[LLM_RANKER], weighed.llm_weights[TUNED]
    assert misleads.long < 1e-4 < knows.long
    assert weighed.llm is weighed.for_llm_ranker(LLM_RANKER).llm is knows
    assert weighed.for_llm_ranker(TUNED).for_llm_ranker(LLM_RANKER).llm is knows
    assert weighed.for_llm_ranker(TUNED).llm is misleads
    assert weighed.missing_weights_warning(LLM_RANKER) is weighed.missing_weights_warning(TUNED) is None


def test_what_was_not_weighed_is_not_read_and_that_is_said(scorer):
    weighed = scorer.with_llm_weights(LLM_RANKER, pulled(60, 2.0))
    for other in (TUNED, replace(LLM_RANKER, ranker="listwise"), replace(LLM_RANKER, model="larger")):
        found = weighed.for_llm_ranker(other).llm
        assert (found.long, found.short, found.query, found.scale) == (UNMEASURED, UNMEASURED, UNMEASURED, 0)
        assert not found.can_change(np.zeros(3), 9, False)
        assert not found.can_change(np.zeros(3), 9, True)
        assert 'not read unless asked for (read = "always")' in weighed.missing_weights_warning(other)
    assert "genrec fit --adapter base --adapter mine@2, with" in weighed.missing_weights_warning(TUNED)
    # A fit that was to weigh it but had no slate of it says so too, and so does one that weighed nothing.
    assert "was not weighed" in scorer.with_llm_weights(LLM_RANKER, []).missing_weights_warning(LLM_RANKER)
    assert "genrec fit --adapter base, with" in scorer.missing_weights_warning(LLM_RANKER)


def test_another_template_takes_the_weights_of_the_same_model_and_that_is_said(scorer):
    weighed = scorer.with_llm_weights(LLM_RANKER, pulled(60, 2.0))
    edited = replace(LLM_RANKER, template="rank/mine")
    assert weighed.for_llm_ranker(edited).llm is weighed.llm
    assert "another template" in weighed.missing_weights_warning(edited)


def pulled(count, signal, seed=0, events=20, asked=False):
    """Slates of ten whose target draws the click head's score up a little, and the model's by `signal`."""
    random = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        target = int(random.integers(10))
        pull = np.eye(10)[target]
        base, llm = random.normal(size=10) + pull, random.normal(size=10) + signal * pull
        found.append(ScoredSlate(base, llm, target, events, asked))
    return found


def test_combination_by_hand():
    weights = LlmWeights(long=0.5, short=2.0, query=3.0)
    base, llm = np.array([1.0, 0.0]), np.array([5.0, 7.0])  # standardised: -1, 1
    np.testing.assert_allclose(weights.combine(base, llm, events=6, asked=False), [0.5, 0.5])
    np.testing.assert_allclose(weights.combine(base, llm, events=5, asked=False), [-1, 2])
    np.testing.assert_allclose(weights.combine(base, llm, events=99, asked=True), [-2, 3])


@given(SCORES, st.floats(0.01, 5))
@settings(max_examples=50)
def test_a_higher_score_of_the_model_is_never_worse(values, rise):
    llm = np.array([*values, 0.0])
    weights = LlmWeights(long=1.0)
    raised = llm.copy()
    raised[0] += rise
    ranks = [
        np.count_nonzero(scores > scores[0] + 1e-9)
        for scores in (weights.combine(np.zeros(len(llm)), one, 9, False) for one in (llm, raised))
    ]
    assert ranks[1] <= ranks[0]


def test_a_model_that_knows_gets_a_weight_of_each_kind():
    read = [*pulled(60, 2.0), *pulled(60, 0.0, 1, events=2), *pulled(60, 2.0, 2, asked=True)]
    weights = fit_llm_weights(read)
    assert weights.long > 0.5
    assert weights.short < 0.3
    assert weights.query == pytest.approx(weights.long, rel=0.5)
    assert weights.scale == pytest.approx(1.1, abs=0.15)
    assert weights.slates == 180


@pytest.mark.parametrize("seed", range(5))
def test_a_model_that_misleads_gets_none(seed):
    assert fit_llm_weights(pulled(60, -1.0, seed)).long == pytest.approx(0, abs=1e-4)


def test_a_model_that_guesses_mostly_gets_none():
    weights = [fit_llm_weights(pulled(60, 0.0, seed)).long for seed in range(30)]
    assert np.mean(np.array(weights) < 1e-4) > 0.7


def test_an_unread_model_breaks_ties():
    weights = fit_llm_weights([])
    assert (weights.long, weights.short, weights.query) == (UNMEASURED,) * 3
    assert weights.combine(np.ones(2), np.array([0.0, 1.0]), 9, False).argmax() == 1
    assert not weights.can_change(np.ones(2), 9, False)


def test_few_slates_of_a_kind_take_the_weight_of_all():
    weights = fit_llm_weights([*pulled(60, 2.0), *pulled(FEWEST - 1, -3.0, events=1)])
    of_all = fit_llm_weights([*pulled(60, 2.0), *pulled(FEWEST - 1, -3.0)]).long
    assert weights.short == weights.query == pytest.approx(of_all)
    assert UNMEASURED < weights.short < weights.long


def test_a_model_that_misleads_has_no_weight_for_few_queries_either():
    weights = fit_llm_weights([*pulled(60, -1.0), *pulled(FEWEST - 1, -1.0, 1, asked=True)])
    assert weights.query == weights.long == pytest.approx(0, abs=1e-4)


def test_a_model_that_only_guesses_still_breaks_ties_for_few_queries():
    guessed = [ScoredSlate(np.zeros(4), llm, place, 9) for llm in np.eye(4) for place in range(4)] * 4
    weights = fit_llm_weights(guessed)
    assert (weights.long, weights.query) == (0, UNMEASURED)


def test_the_model_is_not_read_where_it_has_no_weight():
    weights = LlmWeights(long=0.0, short=1.0, query=1.0, scale=1.0, slates=60)
    assert not weights.can_change(np.arange(5.0), 50, False)
    assert weights.can_change(np.arange(5.0), 2, False)
    assert weights.can_change(np.arange(5.0), 50, True)
    # However near the margin: nothing can come of it.
    assert weights.gain(np.zeros(5), 50, False) == 0
    assert weights.gain(np.arange(5.0), 50, True) == 1


def test_the_margin_by_hand():
    weights = LlmWeights(long=0.5, short=0.5, query=0.5, scale=1.0, slates=60)
    # The three best are 9, 7, 6: the smallest gap is 1, and so is the reach of the model.
    logits = np.array([6.0, 1.0, 9.0, 7.0])
    assert APART * 0.5 == 1
    assert weights.gain(logits, 9, False, k=2) == pytest.approx(1 / 2)
    assert not weights.can_change(logits, 9, False, k=2)
    assert weights.can_change(0.9 * logits, 9, False, k=2)
    assert weights.gain(logits, 9, False, k=1) == pytest.approx(1 / 3)
    assert weights.gain(np.array([1.0]), 9, False) == 0
