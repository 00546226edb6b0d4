"""Training learns, stops for good reasons, and several processes do what one does."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_tuning import Numbers, slate_of, tiny_config, tiny_model, train

from genrec.errors import BudgetError, ModelError, SettingsError
from genrec.training import checkpoints, logs
from genrec.training.base import TokenSlate
from genrec.training.batches import Batches, passes
from genrec.training.config import LoopSettings, OptimSettings, TrainConfig
from genrec.training.evaluation import interval, ndcg
from genrec.training.lora import attach
from genrec.training.processes import Processes
from genrec.training.trainer import Trainer, rate


def losses(folder: Path) -> list[float]:
    return [line["loss"] for line in logs.read(folder) if "loss" in line]


def test_training_learns_which_candidates_are_good_and_keeps_the_best(tmp_path: Path) -> None:
    outcome = train(tmp_path, tiny_config(steps=24, evaluate_every=6))
    first, last = losses(tmp_path)[0], losses(tmp_path)[-1]
    assert first > math.log(6) - 0.2
    assert last < 0.8 * first
    assert outcome.ndcg.mean() > outcome.untuned.mean() + 0.2
    validations = [value["ndcg@10"] for value in outcome.progressed.validations]
    assert outcome.ndcg.mean() == pytest.approx(max(validations))
    assert outcome.stopped == "steps"
    assert list(tmp_path.glob("genrec/events.out.tfevents.*"))


def test_the_loss_of_a_step_is_the_mean_by_weight(tmp_path: Path) -> None:
    def first_loss(name: str, *slates: TokenSlate) -> float:
        config = tiny_config(steps=1, batch=len(slates), pool=1)
        model = attach(tiny_model(), config.lora, 0)
        trainer = Trainer(model, config, tmp_path / name, Processes(("tensorboard",), tmp_path / name))
        trainer.run(Batches(Numbers(len(slates)), lambda example, _: slates[example[1]], config.loop), slates)
        return losses(tmp_path / name)[0]

    one, other = (replace(slate_of((0, index, 1)), weight=weight) for index, weight in ((1, 3.0), (2, 0.5)))
    alone = [first_loss("one", one), first_loss("other", other)]
    assert abs(alone[0] - alone[1]) > 1e-3
    assert first_loss("both", one, other) == pytest.approx((3 * alone[0] + 0.5 * alone[1]) / 3.5, abs=1e-5)


def test_tensorboard_has_what_the_log_has(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(tmp_path, tiny_config())
    events = EventAccumulator(str(tmp_path / "genrec"))
    events.Reload()
    for tag in ("loss", "lr", "validation_ndcg@10"):
        logged = [(line["step"], line[tag]) for line in logs.read(tmp_path) if tag in line]
        assert len(logged) >= 3
        written = [(event.step, event.value) for event in events.Scalars(tag)]
        np.testing.assert_allclose(written, logged, rtol=1e-6)


def test_the_model_ends_with_the_best_weights_not_the_last(tmp_path: Path) -> None:
    config = tiny_config(steps=12, evaluate_every=3)
    model = attach(tiny_model(), config.lora, 0)
    trainer = Trainer(model, config, tmp_path, Processes(("tensorboard",), tmp_path))
    slates = [slate_of((9, index, 1)) for index in range(12)]
    outcome = trainer.run(Batches(Numbers(), slate_of, config.loop), slates)
    assert [ndcg(trainer.scores(slate), slate.target) for slate in slates] == pytest.approx(outcome.ndcg.tolist())


def test_half_of_the_slates_choose_the_weights_and_the_others_are_only_reported(tmp_path: Path) -> None:
    config = tiny_config(steps=12, evaluate_every=2)
    model = attach(tiny_model(), config.lora, 0)
    trainer = Trainer(model, config, tmp_path, Processes(("tensorboard",), tmp_path))
    slates, chooses = [slate_of((9, index, 1)) for index in range(12)], np.arange(12) < 3
    outcome = trainer.run(Batches(Numbers(), slate_of, config.loop), slates, chooses)
    validations = [value["ndcg@10"] for value in outcome.progressed.validations]
    assert len(outcome.ndcg) == 12
    assert outcome.ndcg[:3].mean() == pytest.approx(max(validations))
    assert outcome.ndcg.mean() != pytest.approx(max(validations))


def test_whoever_resumes_with_more_time_gets_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter(range(10_000))
    monkeypatch.setattr("genrec.training.trainer.time.monotonic", lambda: float(next(seconds)))
    short = {"steps": 100, "evaluate_every": 50, "save_every": 5}
    assert train(tmp_path, tiny_config(max_minutes=0.5, **short)).stopped == "time"
    outcome = train(tmp_path, tiny_config(max_minutes=None, **short))
    assert (outcome.stopped, outcome.progressed.step) == ("steps", 100)


def test_what_is_over_is_not_taught_on_with_more_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter(range(10_000))
    monkeypatch.setattr("genrec.training.trainer.time.monotonic", lambda: float(next(seconds)))
    short = {"steps": 100, "evaluate_every": 50, "save_every": 5}
    first = train(tmp_path, tiny_config(max_minutes=0.5, **short))
    again = train(tmp_path, tiny_config(max_minutes=None, **short), over=True)
    assert (again.stopped, again.progressed.step) == ("time", first.progressed.step)
    assert again.progressed.step < 100
    assert again.ndcg.tolist() == first.ndcg.tolist()


def test_the_same_seed_gives_the_same_losses_and_another_one_others(tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        train(tmp_path / name, tiny_config(steps=3, seed=seed))
    assert losses(tmp_path / "a") == losses(tmp_path / "b") != losses(tmp_path / "c")


def test_in_bfloat16_the_weights_stay_float32_and_the_losses_near(tmp_path: Path) -> None:
    for name, autocast in (("whole", False), ("a", True), ("b", True)):
        train(tmp_path / name, tiny_config(steps=6, autocast=autocast))
    assert losses(tmp_path / "whole") != losses(tmp_path / "a") == losses(tmp_path / "b")
    assert losses(tmp_path / "a") == pytest.approx(losses(tmp_path / "whole"), abs=0.05)
    checkpoint = checkpoints.latest(tmp_path / "a")
    assert checkpoint is not None
    assert {weight.dtype for weight in checkpoint.weights.values()} == {torch.float32}


def test_without_gain_patience_ends_a_training(tmp_path: Path) -> None:
    config = tiny_config(steps=50, evaluate_every=1, patience=3)
    still = config.model_copy(update={"optim": OptimSettings(lr=1e-12)})
    outcome = train(tmp_path, still)
    assert (outcome.stopped, outcome.progressed.step) == ("patience", 3)
    assert outcome.ndcg.tolist() == outcome.untuned.tolist()


def test_the_time_ends_a_training_and_the_schedule_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter(range(10_000))
    monkeypatch.setattr("genrec.training.trainer.time.monotonic", lambda: float(next(seconds)))
    outcome = train(tmp_path, tiny_config(steps=10_000, max_minutes=1, evaluate_every=10, save_every=5))
    # Each step looks at the clock once and each validation twice: of 60 seconds a few are left for the last validation.
    assert outcome.stopped == "time"
    assert 40 <= outcome.progressed.step <= 58
    assert outcome.progressed.planned < 60
    rates = [line["lr"] for line in logs.read(tmp_path) if "lr" in line]
    assert rates[-1] < 0.2 * max(rates)
    assert outcome.progressed.validations[-1]["step"] == outcome.progressed.step


def test_a_loss_that_is_no_number_is_an_error(tmp_path: Path) -> None:
    config = tiny_config(steps=3)
    model = attach(tiny_model(), config.lora, 0)
    with torch.no_grad():
        next(weight for name, weight in model.named_parameters() if "lora_A" in name).fill_(torch.nan)
    trainer = Trainer(model, config, tmp_path, Processes(("tensorboard",), tmp_path))
    with pytest.raises(ModelError, match="no number at step 1"):
        trainer.run(Batches(Numbers(), slate_of, config.loop), [slate_of((9, 0, 1))])


def test_an_unknown_tracker_is_an_error_with_a_hint(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="tracker"):
        Processes(("no-such-tracker",), tmp_path)


@pytest.mark.parametrize("processes", [1, 3])
def test_every_example_of_an_epoch_is_seen_once(processes: int) -> None:
    seen: list[int] = []
    loop = LoopSettings(batch=6, pool=2, curriculum=0)

    def tokenise(example: tuple[int, int, float], number: int) -> object:
        seen.append(example[1])
        return slate_of(example)

    for process in range(processes):
        batches = Batches(Numbers(24), tokenise, loop, process, processes)  # type: ignore[arg-type]
        for step in range(4):
            assert len(batches.batch(step)) == 6 // processes
    assert sorted(seen) == list(range(24))


def test_batches_have_little_padding_and_do_not_depend_on_what_was_asked_before() -> None:
    loop = LoopSettings(batch=4, pool=8, curriculum=0)
    batches = Batches(Numbers(200), slate_of, loop)
    spread = [max(lengths) - min(lengths) for step in range(8) if (lengths := [s.tokens for s in batches.batch(step)])]
    assert np.mean(spread) <= 6
    again = Batches(Numbers(200), slate_of, loop)
    assert [s.prefix for s in again.batch(5)] == [s.prefix for s in batches.batch(5)]


def test_difficulty_grows_with_the_steps() -> None:
    seen: list[float] = []

    def tokenise(example: tuple[int, int, float], number: int) -> object:
        seen.append(example[2])
        return slate_of(example)

    batches = Batches(Numbers(), tokenise, LoopSettings(batch=1, pool=2, curriculum=8))  # type: ignore[arg-type]
    for step in range(12):
        batches.batch(step)
    assert seen == [0, 0, 0.25, 0.25, 0.5, 0.5, 0.75, 0.75, 1, 1, 1, 1]


def test_passes_hold_what_fits_with_padding() -> None:
    slates = [slate_of((0, index, 1)) for index in range(9)]
    groups = passes(slates, 90)
    assert sorted(row for rows in groups for row in rows) == list(range(9))
    assert all(max(slates[row].tokens for row in rows) * len(rows) <= 90 for rows in groups)
    assert passes(slates, 1) == [[row] for row in sorted(range(9), key=lambda row: slates[row].tokens)]


def test_rates_rise_and_fall_to_a_tenth() -> None:
    optim = OptimSettings(lr=1.0, warmup=4, schedule="linear")
    assert [rate(optim, step, 14) for step in (0, 3, 4, 9, 14, 20)] == pytest.approx([0.25, 1, 1, 0.55, 0.1, 0.1])
    cosine = optim.model_copy(update={"schedule": "cosine"})
    assert [rate(cosine, step, 14) for step in (4, 9, 14)] == pytest.approx([1, 0.55, 0.1])
    assert rate(optim.model_copy(update={"schedule": "constant"}), 13, 14) == 1


def test_ndcg_by_hand() -> None:
    target = np.array([0.0, 1.0, 0.0])
    assert ndcg(np.array([3.0, 2.0, 1.0]), target) == pytest.approx(1 / math.log2(3))
    assert ndcg(np.array([1.0, 1.0, 1.0]), target) == pytest.approx(0.5)  # equal scores: the target goes last
    assert ndcg(np.array([3.0, 1.0, 2.0]), target, k=2) == 0
    soft = np.array([0.25, 0.75])
    expected = (0.25 + 0.75 / math.log2(3)) / (0.75 + 0.25 / math.log2(3))
    assert ndcg(np.array([2.0, 1.0]), soft) == pytest.approx(expected)


def test_intervals_are_over_users() -> None:
    values = np.array([0.0, 1.0] * 50)
    apart = interval(values, [str(n) for n in range(100)])
    assert apart[0] < 0.5 < apart[1]
    assert apart[1] - apart[0] == pytest.approx(2 * 1.96 * 0.05, rel=0.15)
    two = interval(values, ["a", "b"] * 50)
    assert two == (0, 1)
    assert interval(values, [None] * 100) == pytest.approx(apart, abs=0.03)


def test_a_loop_is_shared_between_two_stages() -> None:
    first, second = LoopSettings(steps=10, max_minutes=20).shared(0.3)
    assert (first.steps, second.steps) == (3, 7)
    assert (first.max_minutes, second.max_minutes) == pytest.approx((6, 14))
    assert TrainConfig().loop.shared(0.5)[0].max_minutes is None


def test_an_example_that_cannot_be_rendered_gives_way_to_the_next() -> None:
    broken = {3, 4}

    def tokenise(example: tuple[int, int, float], number: int) -> object:
        if example[1] in broken:
            raise BudgetError("does not fit")
        return slate_of(example)

    def seen() -> list[int]:
        batches = Batches(Numbers(24), tokenise, LoopSettings(batch=6, pool=2, curriculum=0))  # type: ignore[arg-type]
        return [len(batches.batch(step)) for step in range(4)]

    assert seen() == [6, 6, 6, 6]
    broken.update(range(24))
    with pytest.raises(BudgetError):
        seen()
