"""What people wait for: none of the commands but `eval`, and `diff --users`, loads more than it needs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from test_prompting_lint import BODY, FRONT, folder_with

from genrec.artifacts.workspace import Workspace
from genrec.data.sqlite.store import SqliteStore
from genrec.domain import Event, Item

HEAVY = {
    *("torch", "vllm", "transformers", "datasets", "peft", "tensorflow"),
    *("numpy", "scipy", "sklearn", "pandas", "pyarrow", "matplotlib"),
    *("fastapi", "uvicorn", "httpx", "requests", "huggingface_hub"),
}


@pytest.mark.parametrize(
    "arguments",
    [
        "--help",
        "list --model MODEL",
        "list -w WORKSPACE --model MODEL",
        "lint --help",
        "lint rank/pointwise --model MODEL",
        "diff rank/pointwise rank/listwise --case typical --model MODEL",
        "new rank/other --from rank/mine --folder MINE --model MODEL",
        "render rank/listwise --tokens --model MODEL",
        "render rank/pointwise --user u1 -w WORKSPACE --model MODEL",
        "lock --help",
        "report --help",
        "eval --help",
        "playground --help",
        "experiment list -w WORKSPACE",
    ],
)
def test_commands_load_nothing_heavy(arguments: str, model: Path, tmp_path: Path) -> None:
    workspace, mine = Workspace.create(tmp_path / "catalogue").root, tmp_path / "mine"
    with SqliteStore(workspace / "genrec.db", create=True) as store:
        store.put_items([Item("i1", "One"), Item("i2", "Two")])
        store.append([Event("u1", "i1", 1.0), Event("u2", "i2", 2.0)])
    mine.mkdir()
    folder_with(mine, FRONT + BODY)
    places = {"MODEL": model, "MINE": mine, "WORKSPACE": workspace}
    filled = [str(places.get(argument, argument)) for argument in arguments.split()]
    code = (
        "import sys\nfrom genrec.cli.main import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit as end:\n    assert end.code in (0, 1, None), end.code\n"
        "sys.stderr.write('LOADED ' + ' '.join(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code, "prompt", *filled], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    loaded = set(done.stderr.rpartition("LOADED ")[2].split())
    assert "genrec.cli.prompt" in loaded
    assert loaded & HEAVY == set()
