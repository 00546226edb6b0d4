"""One run at a time makes a name, and mistakes in how many processes there are, are said before anything starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from genrec.artifacts.workspace import Workspace
from genrec.errors import SettingsError, WorkspaceError
from genrec.settings import Settings
from genrec.training.config import LoopSettings, TrainConfig
from genrec.training.job import Job


def job(workspace: Workspace, name: str = "mine") -> Job:
    return Job("rank_lora", workspace, Settings(), name, Path("none.yaml"))


def test_a_name_is_made_by_one_run_at_a_time(tmp_path: Path) -> None:
    workspace = Workspace.create(tmp_path / "workspace")
    with job(workspace).locked():
        with pytest.raises(WorkspaceError, match="another run makes 'mine'"), job(workspace).locked():
            raise AssertionError("two at once")
        with job(workspace, "other").locked():
            pass
    with job(workspace).locked():
        pass


def test_the_other_processes_of_a_run_do_not_wait_for_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = Workspace.create(tmp_path / "workspace")
    with job(workspace).locked():
        monkeypatch.setenv("RANK", "1")
        with job(workspace).locked():
            entered = True
    assert entered


def test_every_process_needs_a_slate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "8")
    with pytest.raises(SettingsError, match="fewer slates than there are processes"):
        job(Workspace.create(tmp_path / "workspace")).start(TrainConfig(loop=LoopSettings(batch=4)))
