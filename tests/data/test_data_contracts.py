"""The store and the sources of the box keep their contracts."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError

from genrec.cli.main import main
from genrec.data.sources.base import SOURCES, Source
from genrec.data.sources.tables import Tables
from genrec.data.sqlite.store import SqliteStore
from genrec.data.store import Store
from genrec.evaluation.suite import base as suite
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


MINE = """
from dataclasses import dataclass
from genrec.data.sources.tables import Tables

class Shop:
    def __init__(self, path): self.tables = Tables(path / "bought.csv")
    @classmethod
    def of(cls, path, items=None): return cls(path)
    name = "the shop"
    has_items = False
    def items(self, bad): return self.tables.items(bad)
    def events(self, bad): return self.tables.events(bad)
"""


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a log, and on the way of Python a class that reads it."""
    (tmp_path / "code" / "shop_of_sources").mkdir(parents=True)
    (tmp_path / "code" / "shop_of_sources" / "bought.py").write_text(MINE)
    monkeypatch.syspath_prepend(tmp_path / "code")
    (tmp_path / "bought.csv").write_text(EVENTS)
    return tmp_path


@pytest.mark.parametrize("name", ["shop_of_sources.bought", "shop_of_sources.bought.Shop"])
def test_a_source_of_ones_own_is_imported_by_its_dotted_path(
    shop: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in (["validate", "source", name], ["import", "source", name, "--workspace", str(shop / "w")]):
        with pytest.raises(SystemExit) as end:
            main(["data", *command, "--path", str(shop)])
        assert not end.value.code
    assert "the shop" in capsys.readouterr().out
    with SqliteStore(shop / "w" / "genrec.db") as store:
        assert [item.id for item in store.all_items()] == ["a", "b"]


def test_formats_of_the_box_are_sources_by_name(shop: Path) -> None:
    assert SOURCES.names() == ["hub", "movielens", "recbole", "tables"]
    assert SOURCES.find("tables").of(shop / "bought.csv") == Tables(shop / "bought.csv")


@pytest.mark.parametrize("name", ["spreadsheet", "shop_of_sources.spreadsheet", "tables.Tables"])
def test_a_wrong_source_is_answered_with_all_names(shop: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["data", "import", "source", name, "--path", str(shop), "--workspace", str(shop / "w")])
    said = capsys.readouterr().err
    assert end.value.code
    assert f"there is no data source '{name}'" in said
    assert "hub, movielens, recbole, tables" in said
    assert not (shop / "w").exists()


def test_a_suite_names_sources_alike(shop: Path) -> None:
    assert suite.Source(importer="shop_of_sources.bought", path="x").importer == "shop_of_sources.bought"
    with pytest.raises(ValidationError, match="there are: hub, movielens, recbole, tables"):
        suite.Source(importer="recbol", path="x")
