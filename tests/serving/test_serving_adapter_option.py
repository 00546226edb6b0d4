"""`--adapter` on the command line: names, folders, and what is said where they are wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from genrec.artifacts import adapters
from genrec.artifacts.adapters import Card, TunedTemplate
from genrec.artifacts.workspace import Workspace
from genrec.cli import options
from genrec.cli.main import main
from genrec.data.interactions import Interactions
from genrec.data.sqlite.store import SqliteStore
from genrec.domain import Item, LlmRankerKey
from genrec.errors import NotFoundError
from genrec.prompting.library import TemplateLibrary
from genrec.scoring.llm_evidence import ScoredSlate
from genrec.scoring.scorer import Scorer
from genrec.settings import Settings


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A workspace without events, with the adapter `mine` tuned on rank/listwise."""
    SqliteStore(tmp_path / "genrec.db", create=True).close()
    ref = TemplateLibrary().get("rank/listwise").ref
    with adapters.publish(tmp_path, "mine") as staging:
        for file in adapters.WEIGHTS:
            (staging / file).write_text("{}")
        Card(
            base_model=Settings().model.name,
            recipe="r",
            ranker="listwise",
            template=TunedTemplate.of(ref),
            data={},
            held_out="none",
        ).save(staging)
    return tmp_path


def test_a_name_becomes_its_folder_and_a_flag_beats_the_file(root: Path) -> None:
    (root / "genrec.toml").write_text('[model]\nadapter = "mine"\n')
    folder = str(adapters.resolve(root, "mine"))
    assert options.open_workspace(root)[1].model.adapter == folder
    assert options.open_workspace(root, adapter="base")[1].model.adapter is None
    assert options.open_workspace(root, resolve=False)[1].model.adapter == "mine"
    with pytest.raises(NotFoundError, match="'other'"):
        options.open_workspace(root, adapter="other")


def test_another_template_is_a_warning_that_names_both(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options.open_workspace(root, adapter="mine", ranker="listwise")
    options.open_workspace(root, adapter="mine", template="rank/listwise")
    options.open_workspace(root, adapter="base")
    assert "warning" not in capsys.readouterr().err
    options.open_workspace(root, adapter="mine")
    said = capsys.readouterr().err
    assert "warning" in said
    assert "rank/listwise version" in said
    assert "rank/pointwise version" in said


@pytest.mark.parametrize("command", ["serve", "recommend"])
def test_an_unknown_adapter_ends_with_2_and_those_there_are(
    root: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--workspace", str(root), "--adapter", "other"])
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert "there is no adapter 'other'" in said
    assert "mine" in said


def test_serve_hands_on_what_was_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def served(*arguments: str) -> tuple[Any, Any]:
        calls: list[tuple[Any, Any]] = []
        monkeypatch.setattr(
            "genrec.serving.launch.serve",
            lambda place, settings, names, *, live_adapters: calls.append((names, live_adapters)),
        )
        with pytest.raises(SystemExit):
            main(["serve", "--workspace", str(root), *arguments])
        return calls[0]

    version = adapters.live(root, "mine")
    assert served() == ([], False)
    assert served("--adapter", "mine", "--adapter", f"mine@{version}") == (["mine", f"mine@{version}"], False)
    (root / "genrec.toml").write_text('[model]\nadapter = "mine"\n')
    assert served("--live-adapters") == (["mine"], True)
    assert served("--adapter", "base") == ([], False)


def test_serve_names_adapters_that_the_fit_did_not_weigh(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("genrec.serving.launch.serve", lambda *_, **__: None)

    def said(*weighed: str | None) -> str:
        log = Interactions.from_columns(
            np.array(["u"], dtype=object), np.array(["a"], dtype=object), *(np.zeros(1, int) for _ in range(3))
        )
        scorer = Scorer.of_log(log, [Item("a", "A")], np.ones((1, 2), np.float32), settings=Settings())
        read = [ScoredSlate(np.zeros(2), np.array([1.0, 0.0]), 0, 9)]
        for adapter in weighed:
            key = LlmRankerKey(Settings().model.name, adapter, "listwise", "rank/listwise")
            scorer = scorer.with_llm_weights(key, read)
        with Workspace(root).publish("scoring") as folders:
            scorer.save(folders["scoring"])
        with pytest.raises(SystemExit):
            main(["serve", "--workspace", str(root), "--ranker", "listwise", "--adapter", "mine"])
        return capsys.readouterr().err

    label = f"mine@{adapters.live(root, 'mine')}"
    assert f"genrec fit --adapter base --adapter {label}, with" in said(None)
    assert "weighs it" not in said(None, label)
    assert "is not read unless asked for" in said()
