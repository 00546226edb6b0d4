import json

import pytest

import genrec.artifacts.models
from genrec.cli.main import main

ITEMS = "item_id,title\na,Alien\nb,Brazil\n"
EVENTS = "user_id,item_id,timestamp\nu,a,1700000000\nu,b,1700000001\nv,a,1700000002\n"


@pytest.fixture
def files(tmp_path, monkeypatch):
    (tmp_path / "interactions.csv").write_text(EVENTS)
    (tmp_path / "items.csv").write_text(ITEMS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(capsys, line):
    """Exit code, stdout, stderr of a command line."""
    with pytest.raises(SystemExit) as ended:
        main(line.split())
    captured = capsys.readouterr()
    return ended.value.code or 0, captured.out, captured.err


TABLES = "tables --interactions interactions.csv --items items.csv"


def test_import_describe_and_import_again(files, capsys):
    code, out, _ = run(capsys, f"data import {TABLES} --workspace W")
    assert code == 0
    assert "2 users, 2 items, 3 events" in out
    assert "3 new events in W" in out
    assert "0 new events in W" in run(capsys, f"data import {TABLES} --workspace W")[1]
    code, out, _ = run(capsys, "data describe --workspace W")
    assert code == 0
    assert "2023-11-14" in out
    code, out, _ = run(capsys, "data describe --workspace W --json - --html page.html")
    assert json.loads(out)["events"] == 3
    assert (files / "page.html").read_text().startswith("<!doctype html>")


def test_import_without_items_says_so(files, capsys):
    code, _, err = run(capsys, "data import tables --interactions interactions.csv --workspace W")
    assert code == 0
    assert "titles are the ids" in err


def test_bad_rows_are_refused_and_skipped_on_demand(files, capsys):
    (files / "interactions.csv").write_text(EVENTS + "u,z,1700000003\n")
    code, out, err = run(capsys, f"data import {TABLES} --workspace W")
    assert (code, out) == (2, "")
    assert "interactions.csv, line 5: the item_id is not among the items" in err
    assert "--max-bad-rows 1" in err
    code, out, err = run(capsys, f"data import {TABLES} --workspace W --max-bad-rows 1")
    assert code == 0
    assert "skipped 1 bad row" in err
    assert "interactions.csv, line 5" in err


def test_filters_and_units(files, capsys):
    (files / "interactions.csv").write_text(
        EVENTS.replace("17000000", "17000000000").replace("0000000001", "0000000001")
    )
    code, _, err = run(capsys, f"data import {TABLES} --workspace W")
    assert code == 2
    assert "--timestamp-unit ms" in err
    line = f"data import {TABLES} --workspace W --timestamp-unit ms --min-item-events 2 --min-user-events 1"
    code, out, err = run(capsys, line)
    assert code == 0
    assert "2 users, 1 items" in out
    assert "left out 1 items" in err


def test_validate_finds_what_import_refuses_and_writes_nothing(files, capsys):
    before = sorted(files.iterdir())
    assert run(capsys, f"data validate {TABLES}")[0] == 0
    (files / "interactions.csv").write_text(EVENTS + "u,z,1700000003\nu,a,x\n")
    code, _, err = run(capsys, f"data validate {TABLES}")
    assert code == 1
    assert "2 bad rows" in err
    (files / "interactions.csv").write_text("")
    code, _, err = run(capsys, f"data validate {TABLES}")
    assert code == 1
    assert "is empty" in err
    assert sorted(files.iterdir()) == before


def test_validate_knows_the_items_of_a_workspace(files, capsys):
    run(capsys, f"data import {TABLES} --workspace W")
    (files / "items.csv").write_text("item_id,title\nc,Cube\n")
    assert run(capsys, f"data validate {TABLES} --workspace W")[0] == 0
    assert run(capsys, f"data validate {TABLES}")[0] == 1


def test_recbole_takes_a_folder_or_a_known_name(files, capsys, monkeypatch):
    folder = files / "cached"
    folder.mkdir()
    (folder / "x.inter").write_text("user_id:token\titem_id:token\ttimestamp:float\nu\ta\t1\n")
    monkeypatch.setattr(genrec.artifacts.models, "fetch", lambda name: {"ml-100k": folder}[name])
    assert run(capsys, "data import recbole --path cached --workspace W")[0] == 0
    code, out, _ = run(capsys, "data import recbole --path ml-100k --workspace W2")
    assert code == 0
    assert "1 new events in W2" in out
    code, _, err = run(capsys, "data import recbole --path ml-100x --workspace W3")
    assert code == 2
    assert "ml-100x" in err


def test_movielens(files, capsys):
    (files / "ratings.csv").write_text("userId,movieId,rating,timestamp\n1,11,4.0,964982703\n")
    (files / "movies.csv").write_text("movieId,title,genres\n11,Alien (1979),Horror\n")
    assert run(capsys, "data import movielens --path . --workspace W")[0] == 0
    assert run(capsys, "data validate movielens --path .")[0] == 0


def test_fetch(capsys, monkeypatch, tmp_path):
    code, out, _ = run(capsys, "data fetch --list")
    assert code == 0
    assert "ml-100k" in out
    monkeypatch.setattr(genrec.artifacts.models, "fetch", lambda name: tmp_path / name)
    assert run(capsys, "data fetch ml-100k")[1].strip() == str(tmp_path / "ml-100k")
    code, _, err = run(capsys, "data fetch")
    assert code == 2
    assert "ml-100k" in err


def test_describe_needs_a_workspace(files, capsys):
    code, _, err = run(capsys, "data describe --workspace nowhere")
    assert code == 2
    assert "import a log first" in err
