from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from prompting_samples import CHATML, FRONT, make_tokenizer
from test_prompting_lint import BODY, folder_with

from genrec.cli.main import main

HEAVY = ("torch", "vllm", "transformers", "scipy", "pyarrow", "matplotlib")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    tokenizer = make_tokenizer()
    tokenizer._tokenizer.save(str(folder / "tokenizer.json"))
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


@pytest.mark.parametrize(
    "arguments", [["--help"], ["list"], ["lint", "rank/pointwise"], ["render", "rank/pointwise", "--model", "MODEL"]]
)
def test_nothing_heavy_is_loaded(arguments: list[str], model: Path, tmp_path: Path) -> None:
    code = (
        "import sys\nfrom genrec.cli.main import main\ntry:\n    main(sys.argv[1:])\nexcept SystemExit: pass\n"
        f"sys.stderr.write('LOADED ' + ' '.join(name for name in {HEAVY!r} if name in sys.modules))"
    )
    filled = [str(model) if argument == "MODEL" else argument for argument in arguments]
    environment = {**os.environ, "GENREC_CACHE": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code, "prompt", *filled], capture_output=True, text=True, env=environment, check=True
    )
    assert done.stderr.endswith("LOADED ")
    assert "error:" not in done.stderr
