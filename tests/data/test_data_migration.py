"""A workspace of an older version is brought up to date when it is opened, wholly or not at all."""

import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from genrec.data.sqlite import schema
from genrec.data.sqlite.store import SqliteStore
from genrec.data.store import Exposure
from genrec.domain import Assignment, Item
from genrec.errors import DataError, WorkspaceError

OLD = Exposure("old", "u", ("a", "b"), 1.0, "rank/pointwise", 2, "abc", (0.5, 0.25))
ASSIGNED = Assignment("terse", "rank/short", {"rank/pointwise": 0.75, "rank/short": 0.25})
NEW = Exposure("new", "u", ("b", "a"), 2.0, None, None, None, (0.5, 0.5), (0.5, 0.125), ASSIGNED)


@pytest.fixture
def version_1(tmp_path):
    """A database as version 1 left it, with one exposure."""
    path = tmp_path / "genrec.db"
    with SqliteStore(path, create=True) as store:
        store.put_items([Item("a", "A"), Item("b", "B")])
        store.log_exposure(OLD)
    connection = sqlite3.connect(path)
    connection.execute("DROP INDEX exposures_by_traced")
    for column in ("prefix_propensities", "experiment", "arm", "arm_shares", "trace", "traced"):
        connection.execute(f"ALTER TABLE exposures DROP COLUMN {column}")
    for column in ("hidden", "expires"):
        connection.execute(f"ALTER TABLE items DROP COLUMN {column}")
    connection.execute("PRAGMA user_version = 1")
    connection.close()
    return path


def facts(path):
    connection = sqlite3.connect(path)
    columns = [row[1] for row in connection.execute("PRAGMA table_info(exposures)")]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    connection.close()
    return version, "prefix_propensities" in columns


def test_an_old_database_is_migrated_and_keeps_what_it_has(version_1):
    assert facts(version_1) == (1, False)
    with SqliteStore(version_1) as store:
        assert facts(version_1) == (schema.VERSION, True)
        store.log_exposure(NEW)
    with SqliteStore(version_1) as store:
        assert list(store.exposures()) == [OLD, NEW]
        assert store.n_items() == 2


def test_a_migrated_database_has_the_tables_of_a_new_one(version_1, tmp_path):
    def tables(path):
        connection = sqlite3.connect(path)
        names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        found = {name: [row[1:4] for row in connection.execute(f"PRAGMA table_info({name})")] for name in names}
        connection.close()
        return found

    def indexes(path):
        connection = sqlite3.connect(path)
        found = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'index' ORDER BY name").fetchall()
        connection.close()
        return found

    SqliteStore(version_1).close()
    SqliteStore(tmp_path / "new.db", create=True).close()
    assert tables(version_1) == tables(tmp_path / "new.db")
    assert indexes(version_1) == indexes(tmp_path / "new.db")


def test_many_may_open_an_old_database_at_once(version_1):
    def opened(_):
        with SqliteStore(version_1) as store:
            return list(store.exposures())

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(opened, range(8))) == [[OLD]] * 8
    assert facts(version_1) == (schema.VERSION, True)


def test_a_crash_in_the_middle_leaves_the_old_version(version_1):
    code = (
        "import os, sys\nfrom pathlib import Path\nfrom genrec.data.sqlite import schema\n"
        "schema.MIGRATIONS[2], schema.VERSION = 'ALTER TABLE exposures ADD COLUMN later TEXT', 3\n"
        "class Dies(schema.Connection):\n"
        "    def execute(self, statement, *arguments):\n"
        "        if 'later' in statement: os.kill(os.getpid(), 9)\n"
        "        return super().execute(statement, *arguments)\n"
        "schema.Connection = Dies\nschema.connect(Path(sys.argv[1]))\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(version_1)], check=False).returncode == -9
    assert facts(version_1) == (1, False)
    with SqliteStore(version_1) as store:
        assert list(store.exposures()) == [OLD]


def test_a_failed_migration_is_a_workspace_error(version_1, monkeypatch):
    monkeypatch.setattr(schema, "MIGRATIONS", {1: "ALTER TABLE nothing ADD COLUMN x TEXT"})
    with pytest.raises(WorkspaceError, match="cannot be brought to data format"):
        SqliteStore(version_1)
    assert facts(version_1) == (1, False)


@pytest.mark.parametrize("odds", [(0.5,), (0.5, 0.0), (0.5, 1.5), (0.5, float("nan")), (0.5, 0.5, 0.5)])
@pytest.mark.parametrize("field", ["propensities", "prefix_propensities"])
def test_propensities_are_one_probability_for_each_item(tmp_path, odds, field):
    with SqliteStore(tmp_path / "genrec.db", create=True) as store:
        with pytest.raises(DataError, match="propensities"):
            store.log_exposure(Exposure("r", "u", ("a", "b"), 1.0, **{field: odds}))
        assert store.stats()["exposures"] == 0
