"""A training that was killed goes on to the same losses; a checkpoint is whole or not there; nothing is pickled."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_tuning import tiny_config, train

from genrec.errors import WorkspaceError
from genrec.training import checkpoints, logs
from genrec.training.checkpoints import Checkpoint, Progressed


def entries(folder: Path) -> list[dict[str, float]]:
    """The log without what depends on the clock."""
    return [{key: value for key, value in line.items() if key != "slates_per_second"} for line in logs.read(folder)]


def test_a_killed_training_goes_on_to_the_same_losses(tmp_path: Path) -> None:
    """SIGKILL while steps are taken; with dropout and a pool of several batches, at whatever step it strikes."""
    config = tiny_config(steps=40, pool=3, save_every=4)
    straight = train(tmp_path / "straight", config)
    command = [sys.executable, str(Path(__file__).with_name("tiny_tuning.py")), str(tmp_path / "killed")]
    process = subprocess.Popen([*command, config.model_dump_json()])
    while len(entries(tmp_path / "killed")) < 8:
        assert process.poll() is None
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    checkpoint = checkpoints.latest(tmp_path / "killed")
    assert checkpoint is not None
    assert 4 <= checkpoint.progressed.step < 40
    resumed = train(tmp_path / "killed", config)
    assert entries(tmp_path / "killed") == entries(tmp_path / "straight")
    assert resumed.ndcg.tolist() == straight.ndcg.tolist()
    assert resumed.untuned.tolist() == straight.untuned.tolist()


class Killed(BaseException):
    """Like a signal: nothing in the trainer may catch it."""


@pytest.mark.parametrize("step", range(1, 8))
def test_an_interruption_at_any_step_changes_nothing(
    step: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny_config(save_every=3)
    train(tmp_path / "straight", config)
    write = logs.Log.write

    def writes(self: logs.Log, at: int, **values: float) -> None:
        write(self, at, **values)
        if at == step and "loss" in values:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(logs.Log, "write", writes)
        with pytest.raises(Killed):
            train(tmp_path / "cut", config)
    train(tmp_path / "cut", config)
    assert entries(tmp_path / "cut") == entries(tmp_path / "straight")


def test_a_finished_training_is_not_repeated(tmp_path: Path) -> None:
    config = tiny_config(steps=4)
    first = train(tmp_path, config)
    lines = entries(tmp_path)
    second = train(tmp_path, config)
    assert second.ndcg.tolist() == first.ndcg.tolist()
    assert entries(tmp_path) == lines


@pytest.mark.parametrize("change", [{"seed": 1}, {"batch": 3}])
def test_other_settings_do_not_go_on_with_a_checkpoint(change: dict[str, int], tmp_path: Path) -> None:
    train(tmp_path, tiny_config(steps=2))
    with pytest.raises(WorkspaceError, match="other settings") as error:
        train(tmp_path, tiny_config(**{"steps": 2, **change}))
    assert "--no-resume" in error.value.hint
    checkpoints.clear(tmp_path)
    assert train(tmp_path, tiny_config(**{"steps": 2, **change})).progressed.step == 2


def a_checkpoint(step: int) -> Checkpoint:
    weight = {"weight": torch.arange(3.0) + step}
    return Checkpoint(Progressed("me", step=step), weight, {"weight|exp_avg": torch.ones(3)}, weight)


def test_only_safetensors_and_json_are_written_and_the_older_one_goes(tmp_path: Path) -> None:
    for step in (2, 11):
        checkpoints.save(tmp_path, a_checkpoint(step))
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000011"]
    assert {path.suffix for path in (tmp_path / "step-00000011").iterdir()} == {".json", ".safetensors"}
    found = checkpoints.latest(tmp_path)
    assert found is not None
    assert found.progressed.step == 11
    assert found.weights["weight"].tolist() == [11, 12, 13]


def test_a_second_checkpoint_of_a_step_takes_the_place_of_the_first_when_it_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints.save(tmp_path, a_checkpoint(2))
    seen: list[bool] = []
    monkeypatch.setattr(checkpoints.os, "fsync", lambda _: seen.append(checkpoints.latest(tmp_path) is not None))
    again = a_checkpoint(2)
    again.progressed.tokens = 7
    checkpoints.save(tmp_path, again)
    assert seen
    assert all(seen)
    found = checkpoints.latest(tmp_path)
    assert found is not None
    assert found.progressed.tokens == 7
    assert len(list(tmp_path.iterdir())) == 1
    (tmp_path / ".step-00000003").mkdir()  # what a kill leaves
    checkpoints.clear(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_cut_short_while_written_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints.save(tmp_path, a_checkpoint(1))

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints.os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            checkpoints.save(tmp_path, a_checkpoint(2))
    found = checkpoints.latest(tmp_path)
    assert found is not None
    assert found.progressed.step == 1
    checkpoints.save(tmp_path, a_checkpoint(2))  # what was left over does not disturb
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000002"]


@pytest.mark.parametrize("damage", ["truncated", "missing", "unknown"])
def test_a_damaged_checkpoint_is_an_error_with_a_hint(damage: str, tmp_path: Path) -> None:
    checkpoints.save(tmp_path, a_checkpoint(1))
    folder = tmp_path / "step-00000001"
    if damage == "truncated":
        (folder / "moments.safetensors").write_bytes((folder / "moments.safetensors").read_bytes()[:20])
    elif damage == "missing":
        (folder / "weights.safetensors").unlink()
    else:
        (folder / "progress.json").write_text(json.dumps({"of another": "version"}))
    with pytest.raises(WorkspaceError, match="no whole checkpoint") as error:
        checkpoints.latest(tmp_path)
    assert error.value.hint


def test_a_folder_without_checkpoints_has_none(tmp_path: Path) -> None:
    assert checkpoints.latest(tmp_path / "nothing") is None
