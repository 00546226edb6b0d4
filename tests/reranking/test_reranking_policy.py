"""Validity, objective and policy: what a ranking and P(click) make of a slate."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reranking_factories import context, ids, ranking, shown, slate
from scipy.special import softmax

from genrec.domain import Candidate, Candidates, DroppedItem, Item
from genrec.reranking.validity import Validity, agreement, llm_scores, validate

POLICIES = ["annotate", "fuse", "veto"]
IDS = st.sampled_from("abcdefxyz")
RANKINGS = st.lists(st.tuples(IDS, st.floats(allow_nan=True, allow_infinity=True)), max_size=14)
ABC = slate(a=3.0, b=2.0, c=1.0)
MODEL = ranking(("c", 0.9), ("a", 0.5), ("b", 0.1))
ABSOLUTE = {"policy": {"threshold": 0.1, "relative": False}}


def test_validity_names_what_is_wrong():
    found = validate(ranking(("c", 1), ("x", 1), ("c", 0), ("x", 0), ("a", math.nan)), ABC)
    assert found == Validity(invalid=("x", "x"), duplicate=("c",), missing=("a", "b"))
    assert not found.ok
    assert validate(ranking(("c", 1)), ABC).ok
    assert validate(MODEL, ABC) == Validity()


def test_scores_of_a_ranking_stand_in_the_order_of_the_slate():
    assert llm_scores(MODEL, ABC).tolist() == [0.5, 0.1, 0.9]


def test_items_that_were_not_named_get_the_last_score():
    assert llm_scores(ranking(("c", 0.9), ("a", 0.5)), ABC).tolist() == [0.5, 0.5, 0.9]


def test_the_order_counts_where_scores_contradict_it():
    scores = llm_scores(ranking(("c", 0.1), ("a", 0.5), ("b", 0.2)), ABC)
    np.testing.assert_allclose(scores, [-math.log(2), -math.log(3), 0])


def test_a_ranking_of_other_items_has_no_scores():
    assert llm_scores(ranking(("x", 1.0), ("a", math.inf)), ABC) is None


def test_agreement_is_tau_b():
    assert agreement([1, 2, 3], [0.1, 0.2, 0.3]) == pytest.approx(1)
    assert agreement([1, 2, 3], [0.3, 0.2, 0.1]) == pytest.approx(-1)
    # Pairs: 2 concordant, 0 discordant, 1 tied in the second: 2 / sqrt(3 * 2).
    assert agreement([1, 2, 3], [0.1, 0.2, 0.2]) == pytest.approx(2 / math.sqrt(6))
    assert agreement([1, 2], [0.5, 0.5]) is None
    assert agreement([1], [0.5]) is None


def test_without_a_model_the_order_is_that_of_p_click():
    found = shown(context(ABC, [0.2, 0.5, 0.3]), "no language model", np.array([0.9, 0.8, 0.7]))
    assert [(one.id, one.p_click, one.p_like, one.value) for one in found.items] == [
        ("b", 0.5, 0.8, 0.5),
        ("c", 0.3, 0.7, 0.3),
        ("a", 0.2, 0.9, 0.2),
    ]
    assert {one.moved for one in found.items} == {()}
    assert (found.fallback, found.agreement, found.dropped) == ("no language model", None, ())


def test_fuse_computes_p_click_again_and_the_order_is_its():
    found = shown(context(ABC, [0.2, 0.5, 0.3], weight=2.0, ranking=MODEL))
    # Odds of e^(2 * .5), e^(2 * .1), e^(2 * .9) beside .2, .5, .3; their sum stays 1.
    expected = softmax(np.log([0.2, 0.5, 0.3]) + 2 * np.array([0.5, 0.1, 0.9]))
    assert ids(found) == ["c", "b", "a"]
    assert [one.p_click for one in found.items] == pytest.approx(expected[[2, 1, 0]])
    assert [one.value for one in found.items] == [one.p_click for one in found.items]
    # Without the model P(click) has b c a, the model c a b: one of three pairs agrees.
    assert found.agreement == pytest.approx(-1 / 3)
    assert {one.moved for one in found.items} == {()}


def test_annotate_keeps_the_models_order_and_says_what_it_moved():
    found = shown(context(ABC, [0.2, 0.3, 0.05], policy="annotate", ranking=MODEL))
    assert ids(found) == ["c", "a", "b"]
    first = found.items[0]
    assert (first.llm_score, first.p_click, first.value) == (0.9, 0.05, 0.05)
    assert [one.moved for one in found.items] == [
        ("the language model's order: from 3 to 1",),
        (),
        ("the language model's order: from 1 to 3",),
    ]
    # Order of the model: c a b; of P(click): b a c.
    assert found.agreement == pytest.approx(-1)


def test_annotate_puts_what_was_not_named_behind_in_the_order_it_had():
    found = shown(context(ABC, [0.2, 0.1, 0.7], policy="annotate", ranking=ranking(("b", -1.0))))
    assert ids(found) == ["b", "c", "a"]
    assert [one.llm_score for one in found.items] == [-1.0, None, None]
    assert found.agreement is None


def test_veto_is_relative_to_the_best_of_the_pool():
    settings = {"policy": {"threshold": 0.5}}
    found = shown(context(ABC, [0.02, 0.05, 0.04], policy="veto", ranking=MODEL, best=0.08, settings=settings))
    # .02 < .5 * .08 = .04; what is just that high passes.
    assert ids(found) == ["c", "b"]
    assert found.dropped == (DroppedItem("a", "p_click below 0.5 of the best in the pool", "policy"),)


def test_veto_with_an_absolute_threshold():
    found = shown(context(ABC, [0.2, 0.1, 0.05], policy="veto", ranking=MODEL, settings=ABSOLUTE))
    assert ids(found) == ["a", "b"]
    assert found.dropped == (DroppedItem("c", "p_click below 0.1", "policy"),)


def test_a_unanimous_veto_leaves_an_empty_answer_with_reasons():
    found = shown(context(ABC, [0.01, 0.02, 0.03], policy="veto", ranking=MODEL, settings=ABSOLUTE))
    assert found.items == ()
    assert {item.item_id for item in found.dropped} == {"a", "b", "c"}


def test_a_veto_holds_without_a_ranking():
    found = shown(context(ABC, [0.01, 0.9, 0.9], policy="veto", settings=ABSOLUTE), "engine")
    assert (ids(found), found.fallback) == (["b", "c"], "engine")


@pytest.mark.parametrize("wrong", [ranking(("x", 1.0), ("a", 0.5)), ranking(("a", 1.0), ("a", 0.5))])
def test_an_invalid_ranking_is_no_ranking(wrong):
    found = shown(context(ABC, policy="annotate", ranking=wrong))
    assert (found.fallback, ids(found)) == ("invalid", ["a", "b", "c"])
    assert {one.llm_score for one in found.items} == {None}


def test_a_ranking_without_a_finite_score_says_nothing():
    found = shown(context(ABC, ranking=ranking(("a", math.nan), ("b", math.nan), ("c", math.nan))))
    assert (ids(found), found.fallback) == (["a", "b", "c"], "empty")


def test_a_part_of_a_list_stands_before_the_rest_when_the_deadline_passed():
    found = shown(context(ABC, policy="annotate", ranking=ranking(("c", 0.9))), "deadline")
    assert (ids(found), found.fallback) == (["c", "a", "b"], "deadline")


def test_ties_are_broken_by_retriever_score_then_id():
    found = shown(context(slate(b=1.0, a=1.0, c=2.0), [0.2, 0.2, 0.2]))
    assert ids(found) == ["c", "a", "b"]


def item(name, p_like_margin):
    return Candidate(Item(name, name, {"margin": p_like_margin, "label": "text"}), 1.0)


def test_the_objective_weighs_click_like_and_fields():
    candidates = Candidates((item("a", 10.0), item("b", 0.0), Candidate(Item("c", "c"), 1.0)))
    weights = {"objective": {"click": 1.0, "like": 0.5, "fields": {"margin": 0.1, "label": 3.0}}}
    made = context(candidates, [0.1, 0.5, 0.4], settings=weights)
    found = shown(made, None, np.array([0.2, 0.2, 1.0]))
    assert [(one.id, pytest.approx(one.value)) for one in found.items] == [
        ("a", 0.1 + 0.1 + 1.0),
        ("c", 0.4 + 0.5),
        ("b", 0.5 + 0.1),
    ]
    assert [one.moved for one in found.items] == [("objective: from 3 to 1",), (), ("objective: from 1 to 3",)]


@given(st.sampled_from(POLICIES), RANKINGS, st.floats(0, 1), st.integers(0, 6), st.booleans())
def test_no_ranking_makes_a_list_invalid(policy, named, threshold, size, relative):
    candidates = slate(**{name: float(place % 3) for place, name in enumerate("abcdef"[:size])})
    p = [0.4 / (1 + place) for place in range(size)]  # of one pool: below 1 in sum
    settings = {"policy": {"threshold": threshold, "relative": relative}}
    found = shown(context(candidates, p, policy=policy, ranking=ranking(*named), settings=settings))
    known = {candidate.item.id for candidate in candidates.items}
    dropped = {item.item_id for item in found.dropped}
    assert sorted([*ids(found), *dropped]) == sorted(known)
    assert all(math.isfinite(one.value) and 0 <= one.p_click <= 1 for one in found.items)


@given(RANKINGS)
def test_a_list_in_the_models_order_begins_with_what_the_model_named(named):
    candidates = slate(**dict.fromkeys("abcdef", 1.0))
    said = ranking(*named)
    if validate(said, candidates).ok:
        valid = [name for name, score in named if math.isfinite(score)]
        assert ids(shown(context(candidates, policy="annotate", ranking=said)))[: len(valid)] == valid
