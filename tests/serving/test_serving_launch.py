"""What is looked at before the engine starts, and what the server's processes get to know."""

from pathlib import Path

import pytest

from genrec.artifacts.workspace import Workspace
from genrec.errors import WorkspaceError
from genrec.pipeline.recommender import Recommender
from genrec.serving.launch import export_environment, serve
from genrec.serving.models import ServedAdapters
from genrec.serving.state import served_adapters
from genrec.settings import Settings


def test_a_flag_that_says_the_default_beats_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.environ", {})
    file = tmp_path / "genrec.toml"
    file.write_text('[policy]\nname = "annotate"\n[ranking]\ntemplate = "rank/other"\n[serving]\nport = 1234\n')
    flags = {"policy": {"name": "fuse"}, "ranking": {"template": "rank/pointwise"}}
    settings = Settings.load(file, flags)
    export_environment(Workspace(tmp_path), settings, ServedAdapters(("mine",), live=True))
    assert Settings.load(file).model_dump() == settings.model_dump()
    assert served_adapters() == ServedAdapters(("mine",), live=True)
    assert settings.policy.name == "fuse"
    assert settings.serving.port == 1234


def test_a_fit_that_does_not_load_is_said_before_the_engine_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(root: Path, settings: Settings, *, llm: bool) -> Recommender:
        assert settings.model.adapter is None, "a flag may name another one than the settings"
        raise WorkspaceError(f"{root} has no readable fusion weights", "run genrec fit again")

    monkeypatch.setattr(Recommender, "open", broken)
    monkeypatch.setattr(
        "genrec.llm.engines.vllm.set_environment", lambda *_, **__: pytest.fail("the engine was started")
    )
    with pytest.raises(WorkspaceError, match="no readable fusion weights"):
        serve(Workspace(tmp_path), Settings.model_validate({"model": {"adapter": "gone"}}))
