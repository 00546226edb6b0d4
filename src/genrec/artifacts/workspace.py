"""The folder in which one catalogue lives: paths, versions, and the atomic switch between them."""

from __future__ import annotations

import json
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from genrec.errors import WorkspaceError
from genrec.settings import Settings

PARTS = ("retrieval", "scoring")
"""What is fitted: each part has versions, and CURRENT names the live one."""


class Workspace:
    """Paths and versions of one workspace. Holds no open files; cheap to make."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @classmethod
    def create(cls, root: Path | str) -> Workspace:
        """Makes the folder if needed."""
        path = Path(root)
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WorkspaceError(
                f"cannot make the workspace folder {path}: {error.strerror}", "choose another --workspace"
            ) from error
        return cls(path)

    @classmethod
    def open(cls, root: Path | str) -> Workspace:
        """Opens an existing workspace; WorkspaceError if there is no data in it."""
        workspace = cls(Path(root))
        if not workspace.database.is_file() and Settings.load(workspace.settings_file).data.url is None:
            raise WorkspaceError(
                f"there is no workspace with data at {root}",
                f"import a log first: genrec data import recbole --path ml-100k --workspace {root}",
            )
        return workspace

    @property
    def database(self) -> Path:
        """SQLite file with items, events and exposures."""
        return self.root / "genrec.db"

    @property
    def settings_file(self) -> Path:
        """Settings of this catalogue."""
        return self.root / "genrec.toml"

    @property
    def runs(self) -> Path:
        """One folder for each evaluation run."""
        return self.root / "runs"

    def versions(self) -> dict[str, str]:
        """Live version of each fitted part."""
        current = self.root / "CURRENT"
        if not current.is_file():
            return {}
        try:
            versions = json.loads(current.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise WorkspaceError(f"{current} cannot be read", "run genrec fit again") from error
        return {str(part): str(version) for part, version in versions.items()}

    def version(self) -> str:
        """One name for the whole live state; 'unfitted' before the first fit."""
        return _name(self.versions())

    def part(self, name: str) -> Path:
        """Folder of the live version of a part; WorkspaceError if it was never fitted."""
        return self.parts(name)[1][name]

    def parts(self, *names: str) -> tuple[str, dict[str, Path]]:
        """`version()` and the folders of the parts, all of one moment; WorkspaceError if one was never fitted."""
        versions = self.versions()
        return _name(versions), {name: self._folder(name, versions.get(name)) for name in names}

    @contextmanager
    def publish(self, *names: str) -> Iterator[dict[str, Path]]:
        """Gives a staging folder for each part; all of them go live together when the block ends without an error.

        The version is a time stamp. Older versions stay on disk, so a server that still reads them is not disturbed;
        `prune` removes them.
        """
        version = time.strftime("%Y%m%dT%H%M%S", time.gmtime()) + f"-{uuid.uuid4().hex[:6]}"
        staging = {name: self.root / name / f".{version}" for name in names}
        for folder in staging.values():
            folder.mkdir(parents=True)
        try:
            yield staging
        except BaseException:
            for folder in staging.values():
                shutil.rmtree(folder, ignore_errors=True)
            raise
        for name, folder in staging.items():
            folder.rename(self.root / name / version)
        self._write_current({**self.versions(), **dict.fromkeys(names, version)})

    def prune(self, keep: int = 3) -> None:
        """Removes all but the newest `keep` versions of each part; the live one always stays."""
        live = self.versions()
        for name in PARTS:
            folder = self.root / name
            if folder.is_dir():
                versions = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
                for path in versions[:-keep]:
                    if path.name != live.get(name):
                        shutil.rmtree(path)

    def _folder(self, name: str, version: str | None) -> Path:
        folder = self.root / name / (version or "")
        if version is None or not folder.is_dir():
            raise WorkspaceError(f"{self.root} has no fitted {name}", f"fit it: genrec fit --workspace {self.root}")
        return folder

    def _write_current(self, versions: dict[str, str]) -> None:
        temporary = self.root / ".CURRENT.new"
        with temporary.open("w", encoding="utf-8") as file:
            json.dump(versions, file, indent=1, sort_keys=True)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self.root / "CURRENT")


def _name(versions: dict[str, str]) -> str:
    return max(versions.values(), default="unfitted")
