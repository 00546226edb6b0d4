"""Data that a suite brings along: imported once, into the workspace it is given or one of its own in the cache."""

from __future__ import annotations

import hashlib
from pathlib import Path

from genrec.artifacts import downloads, models
from genrec.artifacts.workspace import Workspace
from genrec.data.importer import Progress, import_source
from genrec.data.sources import base
from genrec.errors import WorkspaceError
from genrec.evaluation.suite.base import BaseSuite, Source


def workspace_of(suite: BaseSuite, given: Path | None, progress: Progress | None = None) -> Workspace:
    """The workspace of a run: the one that is given, else one for the suite's source; filled where it has no data.

    WorkspaceError if there is neither data nor a source.
    """
    if given is not None and Workspace(given).database.is_file():
        return Workspace(given)
    if suite.source is None:
        if given is not None:
            return Workspace.open(given)
        raise WorkspaceError(
            f"the suite {suite.name} needs a workspace with its data", "import the data, and name it with --workspace"
        )
    workspace = Workspace.create(given or _cached_folder(suite.source, suite.folder))
    if not workspace.database.is_file():
        import_source(
            _source(suite.source, suite.folder),
            workspace,
            min_item_events=suite.source.min_item_events,
            min_user_events=suite.source.min_user_events,
            progress=progress,
        )
    return workspace


def _cached_folder(source: Source, folder: Path) -> Path:
    """One workspace for each source: suites of the same data share what they fit."""
    place = source.path if source.path in models.known() else str((folder / source.path).resolve())
    described = source.model_copy(update={"path": place}).model_dump_json() + base.SOURCES.source_hash(source.importer)
    digest = hashlib.sha256(described.encode()).hexdigest()[:8]
    return downloads.root() / "suites" / f"{Path(source.path).name}-{digest}"


def _source(source: Source, folder: Path) -> base.Source:
    path = models.fetch(source.path) if source.path in models.known() else folder / source.path
    return base.SOURCES.find(source.importer).of(path, None if source.items is None else folder / source.items)
