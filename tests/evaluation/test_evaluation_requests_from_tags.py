"""Tags that people gave, as requests: of the film to be found, and without a word of its title."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from genrec.artifacts.workspace import Workspace
from genrec.data.sqlite.store import SqliteStore
from genrec.domain import Event, Item

SCRIPT = Path(__file__).parents[2] / "eval" / "requests_from_tags.py"
TAGS = """userId,movieId,tag,timestamp
1,a,twist ending,1
2,a,Twist Ending,2
2,a,alien,3
2,a,"In Netflix queue",4
3,b,"dark,  comedy",5
"""


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("requests_from_tags", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_tags_are_read_once_each_and_those_that_wish_for_nothing_are_left_out(
    script: ModuleType, tmp_path: Path
) -> None:
    (tmp_path / "tags.csv").write_text(TAGS, "utf-8")
    assert script.tags_of(tmp_path / "tags.csv") == {"a": ["alien", "twist ending"], "b": ["dark, comedy"]}


def test_no_word_of_the_item_is_said(script: ModuleType) -> None:
    film = Item("a", "Alien", {"genres": ("Horror",)})
    tags = ["ALIEN life", "scary horror", "twist ending", "space"]
    said = {script.request(str(user), film, tags) for user in range(50)}
    assert said == {"twist ending", "space"}
    assert script.request("1", film, tags) == script.request("1", film, tags)
    assert script.request("1", film, tags[:2]) is None


def test_the_file_is_what_a_suite_reads(script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, out = Workspace.create(tmp_path / "w"), tmp_path / "said.tsv"
    with SqliteStore(made.database, create=True) as store:
        store.put_items([Item("a", "Alien"), Item("b", "Brazil"), Item("c", "Dune")])
        seen = {"u": "ca", "v": "cb", "w": "ac"}
        store.append([Event(user, item, float(time)) for user in seen for time, item in enumerate(seen[user])])
    (tmp_path / "tags.csv").write_text(TAGS, "utf-8")
    arguments = ["--workspace", str(made.root), "--tags", str(tmp_path / "tags.csv"), "--out", str(out)]
    monkeypatch.setattr(sys, "argv", ["requests_from_tags.py", *arguments])
    script.main()
    assert out.read_text("utf-8") == "user\tquery\nu\ttwist ending\nv\tdark, comedy\n"
    (tmp_path / "tags.csv").write_text("user,film\n1,a\n", "utf-8")
    with pytest.raises(SystemExit) as end:
        script.main()
    assert end.value.code == 2
