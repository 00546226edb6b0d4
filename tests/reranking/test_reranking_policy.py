import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genrec.domain import Candidate, Candidates, DroppedItem, Item, RankedItem, Ranking
from genrec.fusion.language_model import LanguageModelWeights
from genrec.fusion.model import Fusion
from genrec.reranking.policy import Validity, agreement, apply_policy, llm_scores, prune, validate

POLICIES = ["annotate", "fuse", "veto"]
IDS = st.sampled_from("abcdefxyz")
RANKINGS = st.lists(st.tuples(IDS, st.floats(allow_nan=True, allow_infinity=True)), max_size=14)


def slate(**scores):
    return Candidates(
        tuple(Candidate(Item(name, name.upper()), score, {"covisit": score}) for name, score in scores.items())
    )


def ranking(*pairs):
    return Ranking(tuple(RankedItem(*pair) for pair in pairs), "test")


def answer(policy, candidates, ranked, p_click=None, base=None, weight=0.1, threshold=0.1, k=10, **options):
    p = None if p_click is None else np.array(p_click, dtype=float)
    scores = np.array([candidate.score for candidate in candidates.items] if base is None else base, dtype=float)
    fusion = Fusion(llm=LanguageModelWeights(long=weight, short=weight, request=10 * weight))
    return apply_policy(policy, candidates, ranked, p, scores, fusion=fusion, threshold=threshold, k=k, **options)


def ids(outcome):
    return [line.item.id for line in outcome.items]


ABC = slate(a=3.0, b=2.0, c=1.0)
MODEL = ranking(("c", 0.9), ("a", 0.5), ("b", 0.1))


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


def test_annotate_keeps_the_models_order():
    outcome = answer("annotate", ABC, MODEL, [0.2, 0.3, 0.05])
    assert ids(outcome) == ["c", "a", "b"]
    first = outcome.items[0]
    assert (first.rank, first.score, first.llm_score, first.p_click, first.retriever_score) == (1, 0.9, 0.9, 0.05, 1.0)
    assert first.sources == ("covisit",)
    # Order of the model: c a b; of P(click): b a c.
    assert outcome.agreement == pytest.approx(-1)
    assert (outcome.dropped, outcome.fallback) == ((), None)


def test_annotate_puts_what_was_not_named_behind():
    outcome = answer("annotate", ABC, ranking(("b", -1.0)), [0.5, 0.5, 0.5])
    assert ids(outcome) == ["b", "a", "c"]
    assert [line.llm_score for line in outcome.items] == [-1.0, None, None]
    assert outcome.agreement is None


def test_fuse_follows_the_weights():
    assert ids(answer("fuse", ABC, MODEL, base=[0.1, 0.9, 0.5], weight=0.0)) == ["b", "c", "a"]
    assert ids(answer("fuse", ABC, MODEL, base=[0.1, 0.9, 0.5], weight=9.0)) == ["c", "a", "b"]
    # The gaps of .3 and more outweigh the model's vote of a fifth of a standard deviation; ten fifths they do not.
    assert ids(answer("fuse", ABC, MODEL, base=[0.1, 0.9, 0.5], weight=0.1)) == ["b", "c", "a"]
    assert ids(answer("fuse", ABC, MODEL, base=[0.1, 0.9, 0.5], weight=0.1, query=True))[0] == "c"


def test_veto_drops_with_a_reason_and_ranks_the_rest():
    outcome = answer("veto", ABC, MODEL, [0.2, 0.1, 0.05], threshold=0.1)
    assert [(line.item.id, line.rank) for line in outcome.items] == [("a", 1), ("b", 2)]
    assert outcome.dropped == (DroppedItem("c", "p_click below 0.1"),)


def test_a_unanimous_veto_leaves_an_empty_answer_with_reasons():
    outcome = answer("veto", ABC, MODEL, [0.01, 0.02, 0.03], threshold=0.1)
    assert outcome.items == ()
    assert {item.item_id for item in outcome.dropped} == {"a", "b", "c"}


def test_nothing_is_vetoed_without_probabilities():
    outcome = answer("veto", ABC, MODEL)
    assert ids(outcome) == ["c", "a", "b"]
    assert (outcome.dropped, outcome.agreement) == ((), None)


@pytest.mark.parametrize("policy", POLICIES)
def test_without_a_ranking_the_fused_order_is_the_answer(policy):
    outcome = answer(policy, ABC, None, [0.9, 0.9, 0.9], fallback="deadline")
    assert ids(outcome) == ["a", "b", "c"]
    assert (outcome.fallback, outcome.agreement) == ("deadline", None)
    assert all(line.llm_score is None for line in outcome.items)


def test_a_veto_holds_without_a_ranking():
    assert ids(answer("veto", ABC, None, [0.01, 0.9, 0.9], fallback="engine")) == ["b", "c"]


@pytest.mark.parametrize("wrong", [ranking(("x", 1.0), ("a", 0.5)), ranking(("a", 1.0), ("a", 0.5))])
def test_an_invalid_ranking_is_no_ranking(wrong):
    outcome = answer("annotate", ABC, wrong, [0.5, 0.5, 0.5])
    assert outcome.fallback == "invalid"
    assert ids(outcome) == ["a", "b", "c"]


def test_a_ranking_without_a_finite_score_says_nothing():
    outcome = answer("fuse", ABC, ranking(("a", math.nan), ("b", math.nan), ("c", math.nan)), [0.5, 0.5, 0.5])
    assert (ids(outcome), outcome.fallback) == (["a", "b", "c"], "empty")


def test_a_part_of_a_list_stands_before_the_rest_when_the_deadline_passed():
    outcome = answer("annotate", ABC, ranking(("c", 0.9)), [0.5, 0.5, 0.5], fallback="deadline")
    assert ids(outcome) == ["c", "a", "b"]
    assert outcome.fallback == "deadline"


def test_ties_are_broken_by_retriever_score_then_id():
    candidates = slate(b=1.0, a=1.0, c=2.0)
    flat = ranking(("b", 0.0), ("a", 0.0), ("c", 0.0))
    outcome = answer("fuse", candidates, flat, base=[0.0, 0.0, 0.0], weight=1.0)
    assert ids(outcome) == ["c", "a", "b"]


def test_pruning_keeps_the_best_of_the_pool_in_its_order():
    kept, places = prune(ABC, np.array([0.2, 0.1, 0.9]), 2)
    assert [candidate.item.id for candidate in kept.items] == ["a", "c"]
    assert places.tolist() == [0, 2]
    assert prune(ABC, np.zeros(3), 5)[0] == ABC


@given(st.sampled_from(POLICIES), RANKINGS, st.booleans(), st.integers(0, 8), st.floats(0, 1), st.integers(0, 6))
def test_no_ranking_makes_an_answer_invalid(policy, named, with_p, k, threshold, size):
    candidates = slate(**{name: float(place % 3) for place, name in enumerate("abcdef"[:size])})
    p = [0.5 / (1 + place) for place in range(size)] if with_p else None
    outcome = answer(policy, candidates, ranking(*named), p, threshold=threshold, k=k)
    known = {candidate.item.id for candidate in candidates.items}
    shown, dropped = ids(outcome), {item.item_id for item in outcome.dropped}
    assert len(set(shown)) == len(shown)
    assert set(shown) <= known - dropped
    assert dropped <= known
    assert len(shown) == min(k, size - len(dropped))
    assert [line.rank for line in outcome.items] == list(range(1, len(shown) + 1))
    assert all(math.isfinite(line.score) for line in outcome.items)


@given(RANKINGS)
def test_an_answer_in_the_models_order_begins_with_what_the_model_named(named):
    candidates = slate(**dict.fromkeys("abcdef", 1.0))
    ranked = ranking(*named)
    if validate(ranked, candidates).ok:
        valid = [name for name, score in named if math.isfinite(score)]
        assert ids(answer("annotate", candidates, ranked))[: len(valid)] == valid
