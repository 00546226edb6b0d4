"""The store and the sources of the box keep their contracts."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from genrec.data.sources.base import Source
from genrec.data.sources.tables import Tables
from genrec.data.sqlite.store import SqliteStore
from genrec.data.store import Store
from genrec.testing import SourceContract, StoreContract

EVENTS = "user_id,item_id,timestamp,value\nu,a,1,4\nu,b,2,3\nv,a,3,5\n"


class TestSqlite(StoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Store]:
        with SqliteStore(tmp_path / "genrec.db", create=True) as store:
            yield store


class TestTables(SourceContract):
    @pytest.fixture
    def source(self, tmp_path: Path) -> Source:
        (tmp_path / "events.csv").write_text(EVENTS)
        (tmp_path / "items.csv").write_text("item_id,title\na,Alien\nb,Blade Runner\n")
        return Tables(tmp_path / "events.csv", tmp_path / "items.csv")


class TestTablesWithoutItems(SourceContract):
    @pytest.fixture
    def source(self, tmp_path: Path) -> Source:
        (tmp_path / "events.csv").write_text(EVENTS)
        return Tables(tmp_path / "events.csv")
