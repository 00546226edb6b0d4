from __future__ import annotations

from pathlib import Path

import pytest
from prompting_samples import CHATML, FRONT, make_vocabulary
from test_prompting_lint import BODY, folder_with

from genrec.cli.main import main


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    make_vocabulary().save(str(folder / "tokenizer.json"))
    (folder / "chat_template.jinja").write_text(CHATML)
    return folder


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as caught:
        main(["prompt", *arguments])
    return int(caught.value.code or 0)


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("list") == 0
    assert "rank/pointwise.zh" in capsys.readouterr().out


def test_render_shows_text_and_tokens(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["rank/pointwise", "--case", "one-candidate", "--tokens", "--block", "32", "--model", str(model)]
    assert run("render", *arguments) == 0
    printed = capsys.readouterr()
    assert "- watched Fargo (1996), Crime" in printed.out
    assert "cached prefix ends, " in printed.out
    assert "padding" in printed.err
    assert "computed for each candidate" in printed.err


def test_lint_and_lock(tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    folder_with(folder, FRONT + BODY, lock=False)
    arguments = ["--folder", str(folder)]
    assert run("lint", "rank/mine", "--model", str(model), *arguments) == 1
    assert "mine.prompt:2 version " in capsys.readouterr().out
    assert run("lock", *arguments) == 0
    assert run("lint", "rank/mine", "--model", str(model), *arguments) == 0
    assert run("lint", "rank/mine", "--update", "--model", str(model), *arguments) == 0
    assert len(list((folder / "rank/snapshots").iterdir())) == 9


def test_errors_are_messages(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["prompt", "render", "rank/pointwize"])
    assert caught.value.code == 2
    assert "did you mean" in capsys.readouterr().err
