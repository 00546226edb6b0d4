"""Tables of the workspace database, and how a connection to it is opened."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from genrec.errors import WorkspaceError

APPLICATION_ID = 0x67656E72  # "genr": tells a genrec database from any other SQLite file
VERSION = 4
BUSY_SECONDS = 60.0
DEFAULT_TYPE = "interaction"
_CACHE = "PRAGMA cache_size = -65536"  # 64 MiB

TABLES = """
CREATE TABLE users (id INTEGER PRIMARY KEY, external TEXT NOT NULL UNIQUE);
CREATE TABLE items (
    id INTEGER PRIMARY KEY, external TEXT NOT NULL UNIQUE, title TEXT NOT NULL,
    metadata TEXT NOT NULL DEFAULT '{}', sponsored INTEGER NOT NULL DEFAULT 0,
    hidden INTEGER NOT NULL DEFAULT 0, expires REAL
);
CREATE TABLE event_types (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
INSERT INTO event_types (id, name) VALUES (1, 'interaction');
CREATE TABLE events (
    id INTEGER PRIMARY KEY, user INTEGER NOT NULL REFERENCES users, item INTEGER NOT NULL REFERENCES items,
    timestamp REAL NOT NULL, value REAL, type INTEGER NOT NULL DEFAULT 1 REFERENCES event_types,
    event_id TEXT, request_id TEXT
);
CREATE TABLE exposures (
    id INTEGER PRIMARY KEY, request_id TEXT NOT NULL UNIQUE, user TEXT, items TEXT NOT NULL, timestamp REAL NOT NULL,
    template_id TEXT, template_version INTEGER, template_hash TEXT, propensities TEXT, prefix_propensities TEXT,
    experiment TEXT, arm TEXT, arm_shares TEXT, trace TEXT, traced REAL
);
CREATE TABLE blocked (user TEXT NOT NULL, item TEXT NOT NULL, PRIMARY KEY (user, item)) WITHOUT ROWID;
"""
"""`events.id` is the order of arrival: rows are only ever added. `exposures.traced` is when the trace was written, by
the clock of the wall; `timestamp` is by that of the log."""

MIGRATIONS = {
    1: "ALTER TABLE exposures ADD COLUMN prefix_propensities TEXT",
    2: "ALTER TABLE exposures ADD COLUMN experiment TEXT; ALTER TABLE exposures ADD COLUMN arm TEXT;"
    " ALTER TABLE exposures ADD COLUMN arm_shares TEXT",
    3: "ALTER TABLE items ADD COLUMN hidden INTEGER NOT NULL DEFAULT 0; ALTER TABLE items ADD COLUMN expires REAL;"
    " ALTER TABLE exposures ADD COLUMN trace TEXT; ALTER TABLE exposures ADD COLUMN traced REAL;"
    " CREATE INDEX exposures_by_traced ON exposures (traced) WHERE traced IS NOT NULL",
}
"""What turns a database of a version into one of the next."""

INDEXES = """
CREATE INDEX events_by_user ON events (user, timestamp);
CREATE UNIQUE INDEX events_by_event_id ON events (event_id) WHERE event_id IS NOT NULL;
CREATE INDEX exposures_by_traced ON exposures (traced) WHERE traced IS NOT NULL;
"""
"""Apart from the tables, because a load of many events is fastest into a table without them."""


class Connection(sqlite3.Connection):
    """A connection that can be referred to weakly, so that it closes with the thread it belongs to."""


def connect(path: Path) -> Connection:
    """Opens a durable connection to an existing database.

    A database of an older version is brought up to date first. WorkspaceError if the file is no genrec database or was
    written by a newer version.
    """
    connection = _open(path)
    try:
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        version = connection.execute("PRAGMA user_version").fetchone()[0]
    except sqlite3.DatabaseError as error:
        connection.close()
        if "not a database" not in str(error):
            raise
        application, version = None, 0
    if application != APPLICATION_ID:
        connection.close()
        raise WorkspaceError(f"{path} is no genrec database", "point --workspace at a folder that genrec has made")
    if version > VERSION:
        connection.close()
        raise WorkspaceError(
            f"{path} has data format {version}; this genrec reads up to {VERSION}", "install the newer genrec"
        )
    # FULL makes a commit wait for the disk: an acknowledged event survives a crash of process and machine.
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(_CACHE)
    if version < VERSION:
        _migrate(connection, path)
    return connection


def create(path: Path) -> Connection:
    """Makes the tables in a new file that nobody else sees yet: no indexes, no journal, no syncing.

    `publish` makes up for it.
    """
    connection = _open(path)
    connection.execute("PRAGMA journal_mode = OFF")
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute(_CACHE)
    _run(connection, TABLES)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {VERSION}")
    return connection


def publish(connection: Connection, building: Path, path: Path) -> bool:
    """Completes the file that `create` made, and gives it its name at once and durably.

    False, and nothing changed, if there is a file of that name by now. The file `building` is gone in either case.
    """
    _run(connection, INDEXES)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.close()
    try:
        _sync(building)
        os.link(building, path)  # unlike a rename it never replaces what came in between
    except FileExistsError:
        return False
    except OSError:  # a file system without links
        if path.exists():
            return False
        building.rename(path)
    finally:
        building.unlink(missing_ok=True)
    _sync(path.parent)
    return True


def _migrate(connection: Connection, path: Path) -> None:
    """All steps in one transaction: after a crash the database is of the old version or of the new one."""
    try:
        connection.execute("BEGIN IMMEDIATE")
        # Another process may have done it while this one waited.
        for version in range(connection.execute("PRAGMA user_version").fetchone()[0], VERSION):
            _run(connection, MIGRATIONS[version])
            connection.execute(f"PRAGMA user_version = {version + 1}")
        connection.execute("COMMIT")
    except sqlite3.OperationalError as error:
        connection.close()
        raise WorkspaceError(
            f"{path} cannot be brought to data format {VERSION}: {error}", "make the file writable, or free disk space"
        ) from error


def _run(connection: Connection, script: str) -> None:
    for statement in script.split(";"):
        connection.execute(statement)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _open(path: Path) -> Connection:
    try:
        connection = sqlite3.connect(
            path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False, factory=Connection
        )
    except sqlite3.OperationalError as error:
        raise WorkspaceError(f"cannot open {path}: {error}", "check that the folder exists and is writable") from error
    return connection
