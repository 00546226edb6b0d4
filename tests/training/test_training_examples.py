"""Positions, pools, slates and their targets: what is held out, what is hard, and what is said of a slate."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from training_factories import SETTINGS, LearningWorld, log_of

from genrec.artifacts.workspace import Workspace
from genrec.data.interactions import Interactions
from genrec.data.splits import temporal, validation_mask
from genrec.data.sqlite.store import SqliteStore
from genrec.domain import Event, Item
from genrec.errors import DataError
from genrec.filtering.base import FilterContext, Filters
from genrec.fitting.holdout import hold_out
from genrec.fitting.simulated_queries import Phase, QuerySimulator, SimulatedQueries, wordings
from genrec.retrieval.tuning import fit_hybrid
from genrec.settings import Settings
from genrec.training import preparing
from genrec.training.base import Example
from genrec.training.curriculum import draw, linear
from genrec.training.examples import ExampleSettings, SlateSource, validation_examples
from genrec.training.pools import TrainingPools
from genrec.training.preparing import prepare
from genrec.training.targets import distilled, graded, grades, soft_targets

# Positions


def test_the_last_liked_new_items_are_held_out_with_all_that_follows() -> None:
    # "u0" is a training user; c is liked but was seen before, b is not liked, a is the first.
    assert not validation_mask(["u0"])[0]
    rows = [("u0", item, float(time)) for time, item in enumerate("acdbec")]
    log = log_of(rows, list("abcde"), [5, 5, 5, 1, 5, 5])
    one, two = hold_out(log, 4.0, per_user=1), hold_out(log, 4.0, per_user=2)
    assert one.train.tolist() == [4]
    assert one.rest.item.tolist() == [0, 2, 3, 1]
    assert two.train.tolist() == [4, 2]
    assert two.rest.item.tolist() == [0, 2]
    # However many are asked for: a third of six events at most, so that enough is left to fit on.
    assert hold_out(log, 4.0, per_user=9).train.tolist() == [4, 2]
    assert len(one.validation) == 0


def test_a_request_sees_what_came_before_held_out_or_not(world: LearningWorld) -> None:
    for row in world.positions.train[:20].tolist():
        history, now = world.positions.request(row, world.items)
        start = world.log.rows_of(int(world.log.user[row])).start
        assert [entry.item.id for entry in history.entries] == [f"i{n}" for n in world.log.item[start:row]]
        assert now == world.log.timestamp[row] > history.entries[-1].timestamp


def test_nothing_from_the_first_held_out_event_on_is_left_to_fit_on(world: LearningWorld) -> None:
    positions = world.positions
    rows = np.concatenate([positions.train, positions.validation])
    for user in np.unique(world.log.user[rows]):
        held = rows[world.log.user[rows] == user].min()
        left = positions.rest.rows_of(int(user))
        assert left.stop - left.start == held - world.log.rows_of(int(user)).start


def test_users_are_on_one_side_and_validation_begins_with_the_last_of_each(world: LearningWorld) -> None:
    positions, mask = world.positions, validation_mask(world.log.user_ids)
    assert not mask[world.log.user[positions.train]].any()
    assert mask[world.log.user[positions.validation]].all()
    users = world.log.user[positions.validation[: int(mask.sum())]]
    assert len(set(users.tolist())) == mask.sum()


def test_most_bounds_the_positions_and_leaves_other_users_alone(world: LearningWorld) -> None:
    few = hold_out(world.log, 4.0, per_user=3, most=7)
    assert len(few.train) == 7
    assert len(few.rest) > len(world.positions.rest)
    assert few.train.tolist() == hold_out(world.log, 4.0, per_user=3, most=7).train.tolist()


def test_a_log_without_a_second_liked_event_is_an_error() -> None:
    with pytest.raises(DataError):
        hold_out(log_of([("u0", "a", 0.0), ("u0", "b", 1.0)], ["a", "b"], [5, 1]), 4.0)


# TrainingPools


def test_pools_are_what_the_retriever_serves(world: LearningWorld) -> None:
    pools, by_id = world.pools(), {item.id: item for item in world.items}
    assert 0 < len(pools) == pools.found <= pools.asked == len(world.positions.train)
    for index in range(0, len(pools), 9):
        history, now = world.positions.request(int(pools.row[index]), world.items)
        served = world.blend.candidates(
            history,
            30,
            now=now,
            items=lambda ids: [by_id[item] for item in ids],
            filters=Filters.of(FilterContext(history, now)),
        )
        size = len(served.items)
        assert [world.items[item].id for item in pools.item[index, :size]] == [c.item.id for c in served.items]
        assert pools.score[index, :size] == pytest.approx([c.score for c in served.items])
        assert (pools.item[index, size:] == -1).all()
        assert pools.item[index, pools.place[index]] == world.log.item[pools.row[index]]


def test_missed_targets_are_added_in_the_last_place_only_if_wanted(world: LearningWorld) -> None:
    def collect(add: bool) -> TrainingPools:
        rows, how = world.positions.train, {"size": 5, "add_missed": add}
        return TrainingPools.collect(world.positions, rows, world.items, world.blend, None, **how)  # type: ignore[arg-type]

    skipped, added = collect(False), collect(True)
    assert len(skipped) == skipped.found < len(added) == added.asked
    missed = ~np.isin(added.row, skipped.row)
    assert (added.place[missed] == 4).all()
    assert (added.item[np.arange(len(added)), added.place] == world.log.item[added.row]).all()


def test_without_a_second_stage_the_order_is_that_of_retrieval(world: LearningWorld) -> None:
    pools = TrainingPools.collect(world.positions, world.positions.train[:5], world.items, world.blend, size=30)
    assert (pools.base == pools.score).all()
    assert pools.served(0, 8).tolist() == list(range(8))


def test_requests_reach_retrieval_and_come_with_the_example(world: LearningWorld) -> None:
    requests = SimulatedQueries(QuerySimulator(world.items, min_items=1, max_share=1), 0.5, seed=1)
    pools, by_id = world.pools(requests=requests), {item.id: item for item in world.items}
    said = [requests.at(row, world.items[world.log.item[row]]) for row in pools.row.tolist()]
    assert 0.3 < np.mean([text is not None for text in said]) < 0.7
    for index in range(0, len(pools), 9):
        history, now = world.positions.request(int(pools.row[index]), world.items)
        served = world.blend.candidates(
            history,
            30,
            now=now,
            items=lambda ids: [by_id[item] for item in ids],
            filters=Filters.of(FilterContext(history, now)),
            query=said[index],
        )
        assert [world.items[item].id for item in pools.item[index, : len(served.items)]] == [
            c.item.id for c in served.items
        ]
        assert (pools.item[index, len(served.items) :] == -1).all()
    options = ExampleSettings(candidates=8, queries=0.5)
    source = SlateSource(world.positions, world.items, pools, options, liked=4.0, requests=requests)
    assert [source.example(0, index, 0.5).query for index in range(len(source))] == said
    unseen = replace(requests, phase="test")
    held = validation_examples(world.positions, world.items, pools, candidates=45, requests=unseen)
    asked = [example.query for example in held]
    assert [text is None for text in asked] == [text is None for text in said]
    assert not {text for text in asked if text} & {text for text in said if text}


def test_pools_survive_the_disk_and_a_broken_file_is_no_pool(world: LearningWorld, tmp_path: Path) -> None:
    pools, file = world.pools(), tmp_path / "new" / "pools.safetensors"
    pools.save(file)
    loaded = TrainingPools.load(file)
    assert (loaded.item == pools.item).all()
    assert (loaded.found, loaded.asked) == (pools.found, pools.asked)
    file.write_bytes(file.read_bytes()[:50])
    with pytest.raises(ValueError, match="pools"):
        TrainingPools.load(file)


def test_validation_slates_are_as_served_and_hold_the_target(world: LearningWorld) -> None:
    pools = world.pools(world.positions.validation, slate=8, most=10)
    examples = validation_examples(world.positions, world.items, pools, candidates=8, offset=True)
    assert len(examples) == len(pools) == 10
    for index, example in enumerate(examples):
        teacher = world.teacher(example.history, example.candidates, 0.0)
        assert example.offset is not None
        assert example.offset.tolist() == teacher.tolist()
        left = np.delete(pools.base[index], pools.served(index, 8))
        assert left.max() <= teacher.min()
        assert example.candidates.items[int(example.target.argmax())].item.id == f"i{world.log.item[pools.row[index]]}"


# Difficulty


def test_the_curriculum_is_a_ramp() -> None:
    assert [linear(step, 50) for step in (0, 25, 50, 99)] == [0.0, 0.5, 1.0, 1.0]
    assert linear(0, 0) == 1.0


def test_hardest_negatives_are_the_best_of_the_second_stage() -> None:
    base = np.array([5.0, 1.0, 9.0, 3.0, 7.0, 0.0])
    free = np.ones(6, dtype=np.bool_)
    assert draw(base, 1, 4, 1.0, free, np.random.default_rng(0)).tolist() == [0, 1, 2, 4]
    free[2] = False
    assert draw(base, 1, 4, 1.0, free, np.random.default_rng(0)).tolist() == [0, 1, 3, 4]


def test_easy_negatives_are_uniform_and_half_difficulty_is_half_of_each() -> None:
    base, free = -np.arange(40.0), np.ones(40, dtype=np.bool_)
    generator = np.random.default_rng(0)
    easy = np.bincount(np.concatenate([draw(base, 39, 5, 0.0, free, generator) for _ in range(4000)]), minlength=40)
    assert easy[39] == 4000
    assert np.abs(easy[:39] / 4000 - 4 / 39).max() < 0.025
    half = np.bincount(np.concatenate([draw(base, 39, 5, 0.5, free, generator) for _ in range(200)]), minlength=40)
    assert half[:2].tolist() == [200, 200]
    assert half[2:39].sum() == 400


@given(st.integers(2, 30), st.integers(2, 12), st.floats(0, 1), st.integers(0, 2**32 - 1), st.lists(st.booleans()))
def test_a_slate_is_distinct_in_order_with_the_target(
    k: int, n: int, difficulty: float, seed: int, denied: list[bool]
) -> None:
    generator = np.random.default_rng(seed)
    free = np.array([not no for no in denied[:k]] + [True] * (k - len(denied[:k])))
    place = seed % k
    slate = draw(generator.normal(size=k), place, n, difficulty, free, generator)
    assert (np.diff(slate) > 0).all()
    assert place in slate
    assert free[slate[slate != place]].all()
    assert len(slate) == min(n, 1 + int(np.count_nonzero(free)) - int(free[place]))


# The source


def test_an_example_depends_on_its_arguments_and_the_seed_only(world: LearningWorld) -> None:
    source, again = world.source(), world.source()
    ids = lambda example: [candidate.item.id for candidate in example.candidates.items]  # noqa: E731
    first = ids(source.example(0, 3, 0.0))
    source.example(1, 7, 0.5)
    assert ids(source.example(0, 3, 0.0)) == first == ids(again.example(0, 3, 0.0))
    assert ids(source.example(1, 3, 0.0)) != first != ids(world.source(seed=1).example(0, 3, 0.0))
    assert len(source) > 50


def test_the_target_is_the_item_chosen_and_what_was_liked_later_is_no_negative(world: LearningWorld) -> None:
    source, pools = world.source(), world.pools()
    for index in range(len(source)):
        example = source.example(0, index, 0.3)
        row = int(pools.row[index])
        ids = [candidate.item.id for candidate in example.candidates.items]
        assert ids[int(example.target.argmax())] == f"i{world.log.item[row]}"
        later = world.positions.later(row)
        liked = {f"i{n}" for n in world.log.item[later][world.log.value[later] >= 4]}
        assert not liked & set(ids)
        assert not set(ids) & set(example.history.item_ids())
        scores = [candidate.score for candidate in example.candidates.items]
        assert scores == sorted(scores, reverse=True)


def test_a_teacher_speaks_of_the_whole_slate(world: LearningWorld) -> None:
    example = world.source(targets="teacher", temperature=2.0, click_share=0.25, offset=True).example(0, 0, 1.0)
    scores = world.teacher(example.history, example.candidates, 0.0)
    click = world.source().example(0, 0, 1.0).target
    expected = 0.75 * np.exp(scores / 2) / np.exp(scores / 2).sum() + 0.25 * click
    assert example.target == pytest.approx(expected)
    assert example.offset == pytest.approx(scores)


def test_graded_targets_share_among_what_was_liked_later(world: LearningWorld) -> None:
    source = world.source(targets="graded")
    targets = [source.example(0, index, 1.0).target for index in range(len(source))]
    assert all(target.sum() == pytest.approx(1.0) for target in targets)
    assert any(np.count_nonzero(target) > 1 for target in targets)


def test_rare_targets_weigh_more(world: LearningWorld) -> None:
    source, pools = world.source(popularity_power=1.0), world.pools()
    weights = np.array([source.example(0, index, 0.0).weight for index in range(len(source))])
    counts = np.bincount(world.positions.rest.item, minlength=60)[world.log.item[pools.row]]
    assert weights.mean() == pytest.approx(1.0)
    assert weights == pytest.approx(weights[0] * counts[0] / counts)


# Targets


def test_grades_are_mid_ranks() -> None:
    assert grades(np.array([1.0, 5.0, 5.0, np.nan])).tolist() == [1 / 6, 4 / 6, 4 / 6, 1.0]
    assert grades(np.array([np.nan, np.nan])).tolist() == [1.0, 1.0]


def test_graded_by_hand() -> None:
    # Item 7 now with grade 1, item 3 next with grade 0.5, item 9 not in the slate, item 7 again with grade 0.8.
    target = graded(np.array([3, 7, 4]), np.array([7, 3, 9, 7]), np.array([1.0, 0.5, 1.0, 0.8]), decay=0.5)
    gains = np.array([0.25, 1.0 + 0.1, 0.0])
    assert target == pytest.approx(gains / gains.sum())
    assert graded(np.array([3, 7]), np.array([7, 3]), np.zeros(2)).tolist() == [0.0, 1.0]


def test_soft_targets_by_hand() -> None:
    assert soft_targets(np.log([1.0, 3.0])) == pytest.approx([0.25, 0.75])
    assert soft_targets(np.log([1.0, 9.0]), temperature=2.0) == pytest.approx([0.25, 0.75])
    mixed = distilled(np.log([1.0, 3.0]), np.array([1.0, 0.0]), click_share=0.5)
    assert mixed == pytest.approx([0.625, 0.375])


# From a workspace


@pytest.fixture(scope="module")
def workspace(world: LearningWorld, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    made = Workspace.create(tmp_path_factory.mktemp("learning"))
    log = world.log
    with SqliteStore(made.database, create=True) as store:
        store.put_items(world.items)
        store.append(
            [
                Event(str(log.user_ids[user]), f"i{item}", time, value=value)
                for user, item, time, value in zip(
                    log.user.tolist(), log.item.tolist(), log.timestamp.tolist(), log.value.tolist(), strict=True
                )
            ]
        )
    return made


def test_prepare_fits_once_and_never_touches_test_events(
    workspace: Workspace, world: LearningWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ExampleSettings(candidates=8, per_user=3)
    logs: list[Interactions] = []

    def fit(log: Interactions, items: list[Item], settings: Settings, **_: object) -> SimpleNamespace:
        logs.append(log)
        return SimpleNamespace(blend=fit_hybrid(log, items, settings=settings, tune=False), base_scores=world.teacher)

    def run(held_out: str = "temporal") -> tuple[SlateSource, list[Example], dict[str, object]]:
        return prepare(workspace, SETTINGS, options, held_out=held_out, validation_slates=12)  # type: ignore[arg-type]

    monkeypatch.setattr(preparing, "fit_log", fit)
    source, validation, info = run()
    cut = float(temporal(world.log).now[0])
    mask = dict(zip(world.log.user_ids, validation_mask(world.log.user_ids), strict=True))
    for index in range(len(source)):
        history = source.example(0, index, 0.5).history
        assert not mask[history.user_id]
        assert all(entry.timestamp < cut for entry in history.entries)
    assert 0 < len(validation) <= 12
    assert all(mask[example.history.user_id] for example in validation)
    assert info["examples"] == len(source)
    assert info["validation_slates"] == len(validation)
    assert info["held_out"] == "temporal"
    assert len(logs) == 1
    assert logs[0].timestamp.max() < cut
    # What is fitted has seen nothing that is to be foreseen, nor what the user did after it.
    fitted = {(str(logs[0].user_ids[user]), item) for user, item in zip(logs[0].user, logs[0].item, strict=True)}
    positions = source.positions
    for row in [*positions.train.tolist(), *positions.validation.tolist()]:
        user = str(positions.whole.user_ids[positions.whole.user[row]])
        to_come = positions.whole.item[row : positions.later(row).stop].tolist()
        assert not fitted & {(user, item) for item in to_come}

    pools = source.pools
    assert all(pools.place[index] in pools.served(index, 8) for index in range(len(pools)))
    assert len(pools) < pools.found

    cached, again, told = run()
    assert told == info
    assert cached.example(2, 1, 0.5).candidates == source.example(2, 1, 0.5).candidates
    assert [example.candidates for example in again] == [example.candidates for example in validation]
    assert len(logs) == 1
    assert run("none")[2]["events"] == len(world.log)
    assert len(logs) == 2


def test_validation_is_asked_in_sentences_that_training_did_not_see(
    workspace: Workspace, world: LearningWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fit(log: Interactions, items: list[Item], settings: Settings, **_: object) -> SimpleNamespace:
        return SimpleNamespace(blend=fit_hybrid(log, items, settings=settings, tune=False), base_scores=world.teacher)

    def pattern(phase: Phase) -> str:
        return "|".join(re.escape(sentence).replace(r"\{w\}", ".+") for sentence in wordings("en", phase))

    monkeypatch.setattr(preparing, "fit_log", fit)
    monkeypatch.setattr(preparing, "QuerySimulator", partial(QuerySimulator, min_items=1, max_share=1.0))
    options = ExampleSettings(candidates=8, per_user=3, queries=1.0)
    source, validation, _ = prepare(workspace, SETTINGS, options, validation_slates=12)
    learned = [source.example(0, index, 0.5).query or "" for index in range(len(source))]
    asked = [example.query or "" for example in validation]
    assert all(re.fullmatch(pattern("train"), text) for text in learned)
    assert all(re.fullmatch(pattern("validation"), text) for text in asked)
    assert len(asked) > 0
