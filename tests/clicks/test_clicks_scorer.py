import json

import numpy as np
import pytest
from clicks_factories import make_world

from genrec.clicks.calibration import auc, expected_calibration_error, log_loss
from genrec.clicks.evaluate import BASELINE, predict_held_out
from genrec.clicks.scorer import ClickScorer
from genrec.data.splits import last_positive
from genrec.domain import History, HistoryEntry, Item
from genrec.errors import DataError, WorkspaceError
from genrec.settings import Settings


@pytest.fixture(scope="module")
def settings():
    return Settings()


@pytest.fixture(scope="module")
def scorer(world, settings):
    return ClickScorer.fit(world.interactions, world.items, world.vectors, settings=settings)


def test_taste_is_learned(world, settings):
    predictions = predict_held_out(world.interactions, world.items, world.vectors, settings)
    labels, ours, baseline = predictions.rows.label, predictions.systems["genrec"], predictions.systems[BASELINE]
    assert auc(labels, ours) > auc(labels, baseline) + 0.2
    assert log_loss(labels, ours) < log_loss(labels, baseline) - 0.1


def test_nothing_is_learned_where_labels_are_shuffled(settings):
    """A feature that saw its own row would show here."""
    world = make_world(seed=5, shuffle=True, events=4000)
    predictions = predict_held_out(world.interactions, world.items, world.vectors, settings)
    assert auc(predictions.rows.label, predictions.systems["genrec"]) == pytest.approx(0.5, abs=0.09)


def test_probabilities_are_calibrated(world, settings):
    predictions = predict_held_out(world.interactions, world.items, world.vectors, settings)
    assert expected_calibration_error(predictions.rows.label, predictions.systems["genrec"], bins=5) < 0.12


def test_leave_one_out_predicts_from_the_last_positive_event_of_each_user_on(world, settings):
    predictions = predict_held_out(world.interactions, world.items, world.vectors, settings, "leave-one-out")
    last = last_positive(world.interactions)
    held_out = world.interactions.indptr[1:][world.interactions.user[last]] - last
    assert np.bincount(predictions.rows.user).tolist() == held_out.tolist()


def test_serving_and_evaluation_give_the_same_probabilities(world, scorer):
    history = world.history(7)
    item = np.arange(world.interactions.n_items, dtype=np.int32)
    rows = scorer.interactions_scores(
        world.interactions, np.full(len(item), 7, dtype=np.int32), item, np.full(len(item), 2e6)
    )
    served = scorer.score(history, world.items, now=2e6)
    np.testing.assert_allclose(served, rows, rtol=1e-4)


def test_a_click_changes_the_next_score(world, scorer):
    history = world.history(7)
    more = History("u7", (*history.entries, HistoryEntry(world.items[0], 1.5e6, value=5.0)))
    less = History("u7", (*history.entries, HistoryEntry(world.items[0], 1.5e6, value=1.0)))
    liked, disliked = (scorer.score(h, world.items[2:3], now=2e6)[0] for h in (more, less))
    assert liked > disliked


def test_strangers_and_new_items_have_probabilities(world, scorer):
    stranger = History(None, (HistoryEntry(Item("new", "New"), 5.0),))
    p = scorer.score(stranger, [Item("newer", "Newer"), world.items[0]], now=1e7)
    assert ((p > 0) & (p < 1)).all()
    assert scorer.score(History(None), [], now=0.0).tolist() == []


def test_scores_do_not_depend_on_the_slate(world, scorer):
    history = world.history(3)
    p = scorer.score(history, world.items, now=2e6)
    np.testing.assert_allclose(scorer.score(history, world.items[::-1], now=2e6)[::-1], p, rtol=1e-5)


def test_a_saved_scorer_scores_the_same(world, scorer, tmp_path):
    scorer.save(tmp_path / "clicks")
    again = ClickScorer.load(tmp_path / "clicks")
    history = world.history(1)
    np.testing.assert_array_equal(
        again.score(history, world.items, now=2e6), scorer.score(history, world.items, now=2e6)
    )
    assert again.record == scorer.record
    suffixes = {path.suffix for path in tmp_path.rglob("*") if path.is_file()}
    assert suffixes <= {".json", ".safetensors"}


@pytest.mark.parametrize("name", ["scorer.json", "arrays.safetensors", "net.safetensors"])
def test_a_broken_file_is_a_message(scorer, tmp_path, name):
    scorer.save(tmp_path)
    (tmp_path / name).write_bytes(b"broken")
    with pytest.raises(WorkspaceError, match="genrec fit"):
        ClickScorer.load(tmp_path)


def test_a_scorer_with_other_features_is_fitted_again(scorer, tmp_path):
    scorer.save(tmp_path)
    data = json.loads((tmp_path / "scorer.json").read_text())
    (tmp_path / "scorer.json").write_text(json.dumps({**data, "features": ["other"]}))
    with pytest.raises(WorkspaceError, match="genrec fit"):
        ClickScorer.load(tmp_path)


def test_refreshing_takes_new_statistics_and_keeps_the_network(world, settings):
    early = world.interactions.select(world.interactions.timestamp < 7e5)
    scorer = ClickScorer.fit(early, world.items, world.vectors, settings=settings)
    fresh = scorer.refreshed(world.interactions, world.items, world.vectors)
    assert fresh.net is scorer.net
    assert fresh.statistics.count.sum() == len(world.interactions)
    assert scorer.statistics.count.sum() == len(early)


def test_a_tiny_log_falls_back_to_the_rate_of_the_item(world, settings, tmp_path):
    few = world.interactions.select(world.interactions.timestamp < 3e4)
    scorer = ClickScorer.fit(few, world.items, world.vectors, settings=settings)
    assert scorer.net is None
    p = scorer.score(History(None), world.items, now=3e4)
    np.testing.assert_allclose(p, scorer.statistics.rate[:-1], rtol=1e-5)
    scorer.save(tmp_path)
    assert ClickScorer.load(tmp_path).score(History(None), world.items, now=3e4).tolist() == p.tolist()


def test_an_empty_log_has_a_scorer(world, settings):
    nothing = world.interactions.select(np.zeros(len(world.interactions), dtype=bool))
    scorer = ClickScorer.fit(nothing, world.items, world.vectors, settings=settings)
    assert scorer.score(History(None), world.items[:2], now=0.0) == pytest.approx([0.5, 0.5])


def test_events_without_ratings_are_learned_against_sampled_items(settings):
    world = make_world(seed=3)
    liked = world.interactions.select(world.interactions.value > 4)
    liked.value[:] = np.nan
    predictions = predict_held_out(liked, world.items, world.vectors, settings)
    assert predictions.record["labels"] == "sampled"
    assert "drawn in proportion to popularity" in predictions.record["labels_are"]
    assert auc(predictions.rows.label, predictions.systems["genrec"]) > 0.6


def test_held_out_ratings_of_one_kind_are_a_message(settings):
    world = make_world(seed=4)
    log = world.interactions
    log.value[log.timestamp > np.quantile(log.timestamp, 0.85)] = 5.0
    with pytest.raises(DataError, match="all liked"):
        predict_held_out(log, world.items, world.vectors, settings)
