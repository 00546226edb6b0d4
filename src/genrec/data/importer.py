"""Import: a source becomes the data of a workspace, all of it or nothing."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from filelock import FileLock, Timeout

from genrec.artifacts.workspace import Workspace
from genrec.data.event_types import EventCount
from genrec.data.ratings import NONE, RatingScale, seen
from genrec.data.sources.base import BadRow, BadRows, Source
from genrec.data.sqlite import schema
from genrec.data.sqlite.coding import CodedBatch, Reader
from genrec.data.sqlite.merge import merge
from genrec.data.sqlite.rows import item_row
from genrec.data.sqlite.store import SqliteStore
from genrec.data.store import open_store
from genrec.errors import DataError, SettingsError, WorkspaceError
from genrec.settings import Settings

Progress = Callable[[str, float], None]
"""Called with what is being done and the share of it that is done, 0 to 1."""

EVENT_FIELDS = ("user", "item", "timestamp", "value", "type", "event_id", "request_id")
_ROWS_PER_STATEMENT = 50
"""Twice as fast as a statement for each row."""
_BUILT = ".import-"
LOCK = ".import.lock"
"""An empty file that stays in the workspace: the system frees its lock when a process ends, however it does."""
_STEPS_BETWEEN_SIGNALS = 1_000_000
_INSERT_ITEM = (
    "INSERT INTO items (id, external, title, metadata, sponsored, hidden, expires) VALUES (?, ?, ?, ?, ?, ?, ?)"
)


@dataclass(frozen=True)
class ImportReport:
    """What an import did. Counts are of this source; `new_events` are those that the workspace did not have yet."""

    source: str
    users: int
    items: int
    events: int
    new_events: int
    dropped_users: int
    dropped_items: int
    dropped_events: int
    bad_rows: int
    shown_bad_rows: tuple[BadRow, ...]
    items_made_from_ids: bool
    seconds: float
    repeated_events: int = 0
    """Events that say all the same as another one of this source."""
    first: float = 0.0
    last: float = 0.0
    """Timestamps of the oldest and the newest event of this source."""
    unused_columns: tuple[str, ...] = ()
    event_counts: tuple[EventCount, ...] = ()
    """Events of the whole workspace, by type."""
    scale: RatingScale = NONE


def import_source(
    source: Source,
    workspace: Workspace,
    *,
    max_bad_rows: int = 0,
    min_item_events: int = 0,
    min_user_events: int = 0,
    progress: Progress | None = None,
) -> ImportReport:
    """Reads `source` into the database of `workspace`, which may have data already.

    Items with fewer than `min_item_events` events in the source are left out, then users with fewer than
    `min_user_events`. Importing the same source again adds nothing: an event is known by its event id, or else by
    all it consists of. Nothing is changed unless everything succeeds, even when the process is killed.
    DataError if there are more than `max_bad_rows` bad rows, or for a file that is wrong as a whole.
    """
    started = time.perf_counter()
    settings = Settings.load(workspace.settings_file)
    database = _database(workspace, settings)
    bad = BadRows(max_bad_rows)
    tell = progress or (lambda stage, share: None)
    with _lock(workspace) as building, _expected_errors(), closing(schema.create(building)) as connection:
        connection.set_progress_handler(lambda: 0, _STEPS_BETWEEN_SIGNALS)
        connection.execute("BEGIN")
        reader = Reader(source, _known_items(workspace), bad, schema.DEFAULT_TYPE)
        read = _load(connection, reader, tell)
        _refuse(source, bad)
        tell("filtering", 1.0)
        dropped_items, dropped_users = _drop_rare(connection, min_item_events, min_user_events)
        if reader.has_event_ids:
            _drop_repeated(connection)
        items = _count(connection, "items WHERE id <= ? OR id > ?", reader.of_source, reader.before_made)
        users, kept = _count(connection, "users"), _count(connection, "events")
        distinct = _count(connection, "(SELECT DISTINCT user, item, timestamp, value, type, event_id FROM events)")
        first, last = connection.execute("SELECT min(timestamp), max(timestamp) FROM events").fetchone()
        connection.execute("COMMIT")
        if database.is_file():
            tell("merging", 1.0)
            connection.close()
            new = merge(building, database, reader.of_source, steps_between_signals=_STEPS_BETWEEN_SIGNALS)
        else:
            tell("indexing", 1.0)
            new = kept
            if not schema.publish(connection, building, database):
                raise WorkspaceError(f"{workspace.root} got data from elsewhere meanwhile", "run the import again")
    with open_store(workspace, settings) as store:
        counts = store.event_counts()
    scale = seen(counts, settings.scoring.liked if "liked" in settings.scoring.model_fields_set else None)
    if scale.source == "ratings":
        scale.write(database.parent)
    return ImportReport(
        source=source.name,
        users=users,
        items=items,
        events=read,
        new_events=new,
        dropped_users=dropped_users,
        dropped_items=dropped_items,
        dropped_events=read - kept,
        bad_rows=bad.count,
        shown_bad_rows=tuple(bad.shown),
        items_made_from_ids=not source.has_items,
        seconds=time.perf_counter() - started,
        repeated_events=kept - distinct,
        first=first or 0.0,
        last=last or 0.0,
        unused_columns=tuple(bad.unused),
        event_counts=tuple(counts),
        scale=scale,
    )


def validate_source(source: Source, workspace: Workspace | None = None, progress: Progress | None = None) -> BadRows:
    """Makes the checks of `import_source` without writing anything; returns all bad rows.

    Items that `workspace` has count as known. DataError for a file that is wrong as a whole.
    """
    bad = BadRows()
    known = _known_items(workspace) if workspace else ()
    reader = Reader(source, known, bad, schema.DEFAULT_TYPE)
    for _ in reader.catalogue():
        pass
    for batch in reader.events():
        if progress:
            progress("reading", batch.share)
    return bad


def _refuse(source: Source, bad: BadRows) -> None:
    if bad.count > bad.allowed:
        raise DataError(
            f"nothing was imported from {source.name}; {bad.describe()}",
            f"fix the file, or have the bad rows skipped: --max-bad-rows {bad.count}",
        )


def _load(connection: schema.Connection, reader: Reader, tell: Progress) -> int:
    """Fills the tables; returns the number of events."""
    for code, item in reader.catalogue():
        connection.execute(_INSERT_ITEM, (code, *item_row(item)))
    read = 0
    for batch in reader.events():
        _insert(connection, batch)
        read += len(batch.user)
        tell("reading", batch.share)
    made = ((code, item_id, item_id, "{}", False, False, None) for code, item_id in reader.other_items())
    connection.executemany(_INSERT_ITEM, made)
    connection.executemany("INSERT INTO users (external, id) VALUES (?, ?)", reader.users.items())
    connection.executemany("INSERT OR IGNORE INTO event_types (name, id) VALUES (?, ?)", reader.types.items())
    return read


def _insert(connection: schema.Connection, batch: CodedBatch) -> None:
    columns = {
        name: column if isinstance(column, list) else column.tolist()
        for name in EVENT_FIELDS
        if (column := getattr(batch, name)) is not None
    }
    whole = len(batch.user) - len(batch.user) % _ROWS_PER_STATEMENT
    for rows, part in ((_ROWS_PER_STATEMENT, slice(0, whole)), (1, slice(whole, None))):
        values = ", ".join([f"({', '.join('?' * len(columns))})"] * rows)
        flat = chain.from_iterable(zip(*(column[part] for column in columns.values()), strict=True))
        connection.executemany(
            f"INSERT INTO events ({', '.join(columns)}) VALUES {values}",  # noqa: S608
            zip(*[flat] * (rows * len(columns)), strict=True),
        )


def _drop_rare(connection: schema.Connection, min_item_events: int, min_user_events: int) -> tuple[int, int]:
    """Drops rare items, then rare users; returns how many of each. Users without events are never kept."""
    items = 0
    if min_item_events > 0:
        items = _drop_where_fewer(connection, "item", min_item_events)
    if items or min_user_events > 1:
        return items, _drop_where_fewer(connection, "user", max(min_user_events, 1))
    return items, 0


def _drop_where_fewer(connection: schema.Connection, kind: str, least: int) -> int:
    dropped = connection.execute(
        f"DELETE FROM {kind}s WHERE id NOT IN (SELECT {kind} FROM events GROUP BY {kind} HAVING count(*) >= ?)",  # noqa: S608
        (least,),
    ).rowcount
    connection.execute(f"DELETE FROM events WHERE {kind} NOT IN (SELECT id FROM {kind}s)")  # noqa: S608
    return dropped


def _drop_repeated(connection: schema.Connection) -> None:
    """Of events with the same event id only the first stays."""
    connection.execute(
        "DELETE FROM events WHERE event_id IS NOT NULL AND id NOT IN"
        " (SELECT min(id) FROM events WHERE event_id IS NOT NULL GROUP BY event_id)"
    )


def _count(connection: schema.Connection, what: str, *values: int) -> int:
    return int(connection.execute(f"SELECT count(*) FROM {what}", values).fetchone()[0])  # noqa: S608


def _database(workspace: Workspace, settings: Settings) -> Path:
    """The SQLite file of the workspace; SettingsError where its data is elsewhere."""
    url = settings.data.url
    if url is None:
        return workspace.database
    if not url.startswith("sqlite:///"):
        raise SettingsError(
            f"imports go to SQLite files, and [data] url is {url.partition('://')[0]}://...",
            "fill that store by its own means, or by put_items and append of genrec.data.store.open_store",
        )
    return workspace.root / url.removeprefix("sqlite:///")


def _known_items(workspace: Workspace) -> list[str]:
    database = _database(workspace, Settings.load(workspace.settings_file))
    if not database.is_file():
        return []
    with SqliteStore(database) as store:
        return [item.id for item in store.all_items()]


@contextmanager
def _lock(workspace: Workspace) -> Iterator[Path]:
    """One import at a time; gives the path of a file to build, and removes what a killed import left behind."""
    lock = FileLock(workspace.root / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise WorkspaceError(f"another import into {workspace.root} is running", "wait until it is done") from None
    except OSError as error:
        raise WorkspaceError(
            f"the workspace {workspace.root} cannot be written: {error.strerror}",
            "make room on the disk or fix the permissions of the folder, and try again",
        ) from error
    try:
        _remove_built(workspace)
        yield workspace.root / f"{_BUILT}{os.getpid()}"
    finally:
        _remove_built(workspace)
        lock.release()


def _remove_built(workspace: Workspace) -> None:
    for path in workspace.root.glob(f"{_BUILT}*"):
        path.unlink(missing_ok=True)


@contextmanager
def _expected_errors() -> Iterator[None]:
    try:
        yield
    except sqlite3.DatabaseError as error:
        if "interrupted" in str(error):  # by the signal handler that the progress handler lets run
            raise KeyboardInterrupt from None
        raise WorkspaceError(
            f"the workspace cannot be written: {error}", "make room on the disk and try again"
        ) from error
