"""Cache of computed results: one SQLite file of keys and values, and the hash of the code that computes them."""

from __future__ import annotations

import hashlib
import sqlite3
import threading
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import genrec
from genrec.errors import WorkspaceError

VIEWS = ("cli", "serving", "reports", "testing")
"""Folders of the package that show or test results and compute none."""


def code_hash() -> str:
    """Hash of the code of genrec that computes: a result of older code is never taken for one of today's.

    All of the package but `VIEWS` counts. A list of the files that a result depends on would have to be kept by hand,
    and a file that is missing from it keeps wrong results alive.
    """
    return _hash_of(Path(genrec.__file__).parent)


@lru_cache
def _hash_of(package: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted(package.rglob("*.py")):
        place = file.relative_to(package)
        if place.parts[0] not in VIEWS:
            digest.update(str(place).encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()


class Memo:
    """Keys and values in one SQLite file; safe to use from several threads and processes."""

    def __init__(self, path: Path) -> None:
        """Opens or makes the file; WorkspaceError if it cannot be used."""
        self._path = path
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=30)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.execute(
                "CREATE TABLE IF NOT EXISTS results (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID"
            )
        except (OSError, sqlite3.Error) as error:
            raise self._unusable() from error

    def get(self, key: bytes) -> bytes | None:
        """The value, None if there is none."""
        try:
            with self._lock:
                row = self._db.execute("SELECT value FROM results WHERE key = ?", (key,)).fetchone()
        except sqlite3.Error as error:
            raise self._unusable() from error
        return None if row is None else bytes(row[0])

    def put(self, rows: Sequence[tuple[bytes, bytes]]) -> None:
        """Stores all rows, or none."""
        try:
            with self._lock:
                self._db.execute("BEGIN IMMEDIATE")
                self._db.executemany("INSERT OR REPLACE INTO results VALUES (?, ?)", rows)
                self._db.execute("COMMIT")
        except sqlite3.Error as error:
            raise self._unusable() from error

    def close(self) -> None:
        """Closes the file."""
        with self._lock:
            self._db.close()

    def _unusable(self) -> WorkspaceError:
        return WorkspaceError(f"the cache {self._path} cannot be used", "delete the file; it is made anew")
