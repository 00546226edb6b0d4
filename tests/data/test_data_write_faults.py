"""A database that cannot be written: nothing changes, the error says why, and writing goes on afterwards."""

import sqlite3

import pytest

from genrec.data.sqlite import schema
from genrec.data.sqlite.store import SqliteStore
from genrec.data.store import Exposure
from genrec.domain import Event, Item
from genrec.errors import WorkspaceError


@pytest.fixture
def store(tmp_path):
    with SqliteStore(tmp_path / "genrec.db", create=True) as opened:
        opened.put_items([Item("a", "A")])
        yield opened


def fill(store):
    """No page more for the connection of this thread: as on a full disk."""
    connection = store._connection()
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages}")


LONG = "x" * 100_000
WRITES = {
    "items": lambda store: store.put_items([Item("b", LONG)]),
    "events": lambda store: store.append([Event("u", "a", 1.0), Event(LONG, "a", 2.0)]),
    "exposure": lambda store: store.log_exposure(Exposure("r", "u", (LONG,), 1.0)),
    "blocked": lambda store: store.block("u", [LONG]),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_a_full_disk_is_said_and_leaves_all_as_it_was(store, write):
    fill(store)
    before = store.stats()
    with pytest.raises(WorkspaceError, match="cannot be written: database or disk is full") as raised:
        write(store)
    assert "disk full" in raised.value.hint
    assert LONG not in str(raised.value)
    assert store.stats() == before
    assert store.blocked("u") == frozenset()
    store._connection().execute("PRAGMA max_page_count = 1000000")
    write(store)


class FailingCommit(schema.Connection):
    """Its commits fail as on a broken disk."""

    broken = False

    def execute(self, sql, *parameters):
        if sql == "COMMIT" and self.broken:
            raise sqlite3.OperationalError("disk I/O error")
        return super().execute(sql, *parameters)


def test_a_commit_that_fails_is_undone(tmp_path, monkeypatch):
    monkeypatch.setattr(schema, "Connection", FailingCommit)
    with SqliteStore(tmp_path / "genrec.db", create=True) as store:
        store.put_items([Item("a", "A")])
        FailingCommit.broken = True
        with pytest.raises(WorkspaceError, match="disk I/O error"):
            store.append([Event("u", "a", 1.0)])
        FailingCommit.broken = False
        assert store.stats()["events"] == 0
        assert store.append([Event("u", "a", 1.0)]) == 1


def test_a_store_that_another_holds_is_said(store, monkeypatch):
    monkeypatch.setattr(schema, "BUSY_SECONDS", 0.05)
    other = sqlite3.connect(store.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    store.close()
    with pytest.raises(WorkspaceError, match="locked"):
        store.append([Event("u", "a", 1.0)])
    other.execute("ROLLBACK")
    other.close()
    assert store.append([Event("u", "a", 1.0)]) == 1
