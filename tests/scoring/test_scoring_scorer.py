import json

import numpy as np
import pytest

from genrec.data.histories import HistoryArrays
from genrec.domain import Candidate, Candidates, History, HistoryEntry, Item, LlmRankerKey
from genrec.errors import DataError, WorkspaceError
from genrec.evaluation.likes import BASELINE, predict_held_out
from genrec.scoring.calibration import auc, expected_calibration_error, log_loss
from genrec.scoring.llm_evidence import LlmWeights, ScoredSlate
from genrec.scoring.pools import TrainingPools
from genrec.scoring.scorer import Scorer, Scores
from genrec.scoring.select import best, select_top
from genrec.settings import Settings
from genrec.text.encoders import HashingEncoder
from scoring_factories import make_world

LLM_RANKER = LlmRankerKey("base", None, "pointwise", "rank/pointwise")


@pytest.fixture(scope="module")
def settings():
    return Settings(retrieval={"retrievers": ("covisit", "popular"), "pool": 30, "candidates": 6})


@pytest.fixture(scope="module")
def scorer(world, settings):
    """Its like head is fitted; its click head has seen no pool."""
    described = Scorer.of_log(world.interactions, world.items, world.vectors, settings=settings)
    return described.fit(world.interactions, TrainingPools(("covisit",)))


@pytest.fixture(scope="module")
def predictions(settings):
    world = make_world(users=240, events=7200)  # what is liked last is held out, and with it most of the log
    return predict_held_out(world.interactions, world.items, settings, encoder=HashingEncoder(16))


def pool_of(items, scores=None):
    scores = np.arange(len(items), 0, -1.0) if scores is None else scores
    return Candidates(
        tuple(Candidate(item, float(one), {}, {"covisit": float(one)}) for item, one in zip(items, scores, strict=True))
    )


def arrays(world, history, now=2e6):
    index = {item.id: place for place, item in enumerate(world.items)}
    return HistoryArrays.of(history, index, now)


def scored(world, scorer, history, items, now=2e6):
    return scorer.score_items(pool_of(items), arrays(world, history, now))


def test_taste_is_learned(predictions):
    labels, ours, baseline = predictions.rows.label, predictions.systems["genrec"], predictions.systems[BASELINE]
    assert auc(labels, ours) > auc(labels, baseline) + 0.2
    assert log_loss(labels, ours) < log_loss(labels, baseline) - 0.1


def test_probabilities_are_calibrated(predictions):
    assert expected_calibration_error(predictions.rows.label, predictions.systems["genrec"], bins=5) < 0.12


def test_nothing_is_learned_where_labels_are_shuffled(settings):
    """A feature that saw its own row would show here."""
    world = make_world(seed=5, shuffle=True, events=4000)
    found = predict_held_out(world.interactions, world.items, settings, encoder=HashingEncoder(16))
    assert auc(found.rows.label, found.systems["genrec"]) == pytest.approx(0.5, abs=0.09)


def test_what_is_not_rated_has_no_p_like(world, settings):
    liked = world.interactions.select(world.interactions.value > 4)
    scorer = Scorer.of_log(liked, world.items, world.vectors, settings=settings).fit(liked, TrainingPools(("covisit",)))
    assert scored(world, scorer, world.history(1), world.items).p_like is None
    assert "p_like" not in scorer.says
    with pytest.raises(ValueError, match="nothing is rated"):
        scorer.p_like(liked, liked.user[:1], liked.item[:1], liked.timestamp[:1])
    with pytest.raises(DataError, match="not rated"):
        predict_held_out(liked, world.items, settings, encoder=HashingEncoder(16))


def test_serving_and_evaluation_give_the_same_p_like(world, scorer):
    item = np.arange(world.interactions.n_items, dtype=np.int32)
    rows = scorer.p_like(world.interactions, np.full(len(item), 7, dtype=np.int32), item, np.full(len(item), 2e6))
    np.testing.assert_allclose(scored(world, scorer, world.history(7), world.items).p_like, rows, rtol=1e-4)


def test_a_rating_changes_the_next_p_like(world, scorer):
    history = world.history(7)
    more, less = (
        History("u7", (*history.entries, HistoryEntry(world.items[0], 1.5e6, value=value))) for value in (5.0, 1.0)
    )
    liked, disliked = (scored(world, scorer, one, world.items[2:3]).p_like[0] for one in (more, less))
    assert liked > disliked


def test_p_like_does_not_depend_on_the_pool(world, scorer):
    p = scored(world, scorer, world.history(3), world.items).p_like
    np.testing.assert_allclose(scored(world, scorer, world.history(3), world.items[::-1]).p_like[::-1], p, rtol=1e-5)


def test_strangers_and_new_items_have_probabilities(world, scorer):
    stranger = History(None, (HistoryEntry(Item("new", "New"), 5.0),))
    found = scored(world, scorer, stranger, [Item("newer", "Newer"), world.items[0]], now=1e7)
    for p in (found.p_click, found.p_like):
        assert ((p > 0) & (p < 1)).all()
    assert len(scored(world, scorer, History(None), [], now=0.0)) == 0


def test_p_click_follows_the_logits_and_its_sum_is_what_the_pool_holds(world, scorer):
    found = scored(world, scorer, world.history(2), world.items)
    assert (np.diff(found.p_click[np.argsort(found.logits)]) >= 0).all()
    assert 0 < found.p_click.sum() < 1
    assert found.p_click.argmax() == 0  # nothing was held out: the order is the retriever's


def test_a_saved_scorer_scores_the_same(world, scorer, tmp_path):
    weighed = scorer.with_llm_weights(LLM_RANKER, [])
    weighed.save(tmp_path / "scoring")
    again = Scorer.load(tmp_path / "scoring")
    one, two = (scored(world, each, world.history(1), world.items) for each in (weighed, again))
    for name in ("p_click", "p_like", "logits"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    assert again.record == json.loads(json.dumps(scorer.record))
    assert (again.llm, dict(again.llm_weights)) == (weighed.llm, dict(weighed.llm_weights))
    assert {path.suffix for path in tmp_path.rglob("*") if path.is_file()} <= {".json", ".safetensors"}


@pytest.mark.parametrize("name", ["scorer.json", "arrays.safetensors", "network.safetensors"])
def test_a_broken_file_is_a_message(scorer, tmp_path, name):
    scorer.save(tmp_path)
    (tmp_path / name).write_bytes(b"broken")
    with pytest.raises(WorkspaceError, match="genrec fit"):
        Scorer.load(tmp_path)


def test_a_scorer_with_other_features_is_fitted_again(scorer, tmp_path):
    scorer.save(tmp_path)
    data = json.loads((tmp_path / "scorer.json").read_text())
    data["heads"]["columns"] = ["other"]
    (tmp_path / "scorer.json").write_text(json.dumps(data))
    with pytest.raises(WorkspaceError, match="genrec fit"):
        Scorer.load(tmp_path)


def test_refreshing_takes_new_statistics_and_keeps_the_heads(world, settings):
    early = world.interactions.select(world.interactions.timestamp < 7e5)
    scorer = Scorer.of_log(early, world.items, world.vectors, settings=settings)
    fresh = scorer.refreshed(world.interactions, world.items, world.vectors)
    assert fresh.heads is scorer.heads
    assert fresh.statistics.count.sum() == len(world.interactions.positive())
    assert scorer.statistics.count.sum() == len(early.positive())


@pytest.mark.parametrize("until", [3e4, -1.0])
def test_a_tiny_log_falls_back_to_the_order_of_the_retriever(world, settings, tmp_path, until):
    few = world.interactions.select(world.interactions.timestamp < until)
    scorer = Scorer.of_log(few, world.items, world.vectors, settings=settings).fit(few, TrainingPools(("covisit",)))
    assert scorer.heads.network is None
    found = scored(world, scorer, History(None), world.items[:3])
    assert found.p_like is None
    assert found.p_click.argsort()[::-1].tolist() == [0, 1, 2]
    assert found.p_click.sum() == pytest.approx(0.5)  # nothing is known of how often a pool holds what is taken
    assert "guess" in scorer.says["p_click"]
    scorer.save(tmp_path)
    np.testing.assert_array_equal(
        scored(world, Scorer.load(tmp_path), History(None), world.items[:3]).p_click, found.p_click
    )


def test_evidence_moves_probability_within_the_slate_only(world, scorer):
    weighed = scorer.with_llm_weights(LLM_RANKER, []).for_llm_ranker(LLM_RANKER)
    scores = scored(world, scorer, world.history(2), world.items)
    pool, kept = select_top(pool_of(world.items), scores.p_click, 6)
    slate = scores.take(kept)
    llm = np.array([0.0, 0, 0, 0, 0, 100.0])
    after = weighed.with_llm(slate, llm)
    assert [candidate.item.id for candidate in pool.items] == [world.items[place].id for place in kept]
    assert after.p_click.sum() == pytest.approx(slate.p_click.sum())
    assert after.p_click[5] > slate.p_click[5]
    assert (after.p_click[:5] < slate.p_click[:5]).all()
    np.testing.assert_array_equal(after.llm, llm)
    np.testing.assert_array_equal(after.p_like, slate.p_like)
    same = weighed.with_llm(slate, np.ones(6))
    np.testing.assert_allclose(same.p_click, slate.p_click)


def test_only_a_model_that_was_weighed_is_read(scorer):
    scores = Scores(np.array([0.2, 0.2]), None, np.zeros(2), events=9)
    assert not scorer.should_call_llm(scores)
    assert not scorer.should_call_llm(scores, asked=True)
    random = np.random.default_rng(0)
    read = [
        ScoredSlate(np.zeros(4), np.eye(4)[place] + random.normal(0, 0.1, 4), place, 9) for place in [0, 1, 2, 3] * 8
    ]
    weighed = scorer.with_llm_weights(LLM_RANKER, read)
    assert weighed.should_call_llm(scores)
    apart = Scores(np.array([0.4, 0.0]), None, np.array([99.0, 0.0]), events=9)
    assert not weighed.should_call_llm(apart)
    assert weighed.should_call_llm(apart, asked=True)


def test_what_says_how_each_probability_was_learned(scorer):
    assert "liked" in scorer.says["p_like"]
    assert scorer.record["like"]["validation"]["auc"] > 0.7


def test_the_best_of_a_pool_stand_in_its_order():
    pool = pool_of([Item(name, name) for name in "abcd"])
    chosen, kept = select_top(pool, np.array([0.1, 0.9, 0.5, 0.9]), 2)
    assert ([one.item.id for one in chosen.items], kept.tolist()) == (["b", "d"], [1, 3])
    assert best(np.array([0.5, 0.5, 0.5]), 2).tolist() == [0, 1]


def test_weights_are_of_the_language_model_that_is_asked(scorer):
    assert scorer.for_llm_ranker(LLM_RANKER).llm == LlmWeights()
