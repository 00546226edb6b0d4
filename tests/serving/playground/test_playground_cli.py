"""Starting the page: what it loads, and where it does not start."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from playground_factories import make_store

from genrec.artifacts.workspace import Workspace
from support import genrec


def test_without_an_engine_nothing_heavy_is_loaded() -> None:
    code = (
        "import sys, genrec.cli.prompt.playground, genrec.serving.playground.preview, genrec.data.sqlite.store\n"
        "heavy = {'torch', 'vllm', 'transformers', 'datasets', 'pandas'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_templates_are_never_taken_from_other_machines(tmp_path: Path) -> None:
    make_store(Workspace.create(tmp_path / "w").root)
    flags = ["--workspace", str(tmp_path / "w"), "--host", "0.0.0.0", "--allow-template-preview"]
    done = genrec(["serve", *flags], check=False)
    assert done.returncode == 2
    assert "for this machine only, not 0.0.0.0" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_workspace_that_is_not_there(tmp_path: Path) -> None:
    done = genrec(["prompt", "playground", "--workspace", str(tmp_path / "nothing")], check=False)
    assert done.returncode == 2
    assert "error:" in done.stderr
