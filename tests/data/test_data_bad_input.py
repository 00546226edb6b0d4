"""A corpus of files that are wrong: each is refused with its place and what was expected, and nothing is imported."""

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from genrec.artifacts.workspace import Workspace
from genrec.data.importer import LOCK, import_source, validate_source
from genrec.data.sources.movielens import MovieLens
from genrec.data.sources.recbole import RecBole
from genrec.data.sources.tables import Tables
from genrec.data.sqlite.store import SqliteStore
from genrec.errors import DataError, GenrecError

ITEMS = "item_id,title\na,Alien\nb,Brazil\n"
EVENTS = "user_id,item_id,timestamp\nu,a,1\nu,b,2\n"

# name, events, items, what the message must say
CSV = [
    ("missing column", "user_id,item,timestamp\nu,a,1\n", ITEMS, "e.csv has no column item_id"),
    ("two missing columns", "u,item_id,t\nu,a,1\n", ITEMS, "no column user_id and no column timestamp"),
    ("no title", EVENTS, "item_id,name\na,Alien\nb,B\n", "i.csv has no column title"),
    ("no file contents", "", ITEMS, "e.csv is empty"),
    ("empty items", EVENTS, "", "i.csv is empty"),
    ("header only", "user_id,item_id,timestamp\n", ITEMS, "e.csv has no rows"),
    ("items header only", EVENTS, "item_id,title\n", "i.csv has no rows"),
    ("column twice", "user_id,item_id,timestamp,user_id\nu,a,1,u\n", ITEMS, "line 1: a column is named twice: user_id"),
    ("timestamp no number", EVENTS + "u,a,yesterday\n", ITEMS, "e.csv, line 4: timestamp must be a number"),
    ("timestamp empty", EVENTS + "u,a,\n", ITEMS, "e.csv, line 4: timestamp must be"),
    ("timestamp infinite", EVENTS + "u,a,inf\n", ITEMS, "e.csv, line 4: timestamp must be"),
    ("timestamp nan", EVENTS + "u,a,nan\n", ITEMS, "e.csv, line 4: timestamp must be"),
    ("milliseconds", "user_id,item_id,timestamp\nu,a,1700000000000\n", ITEMS, "seem to be in milliseconds"),
    ("microseconds", "user_id,item_id,timestamp\nu,a,1700000000000000\n", ITEMS, "--timestamp-unit us"),
    ("nanoseconds", "user_id,item_id,timestamp\nu,a,1700000000000000000\n", ITEMS, "--timestamp-unit ns"),
    ("one stray large timestamp", EVENTS + "u,a,1700000000000\n", ITEMS, "e.csv, line 4: timestamp must be"),
    ("value no number", "user_id,item_id,timestamp,value\nu,a,1,5\nu,a,1,good\n", ITEMS, "line 3: value must be"),
    ("value infinite", "user_id,item_id,timestamp,rating\nu,a,1,-inf\n", ITEMS, "line 2: value must be"),
    ("empty user", EVENTS + ",a,3\n", ITEMS, "e.csv, line 4: user_id must be"),
    ("empty item", EVENTS + "u,,3\n", ITEMS, "e.csv, line 4: item_id must be"),
    ("unknown item", EVENTS + "u,z,3\n", ITEMS, "e.csv, line 4: the item_id is not among the items"),
    ("too few columns", EVENTS + "u,a\n", ITEMS, "e.csv, line 4: expected 3 columns, found 2"),
    ("too many columns", EVENTS + "u,a,3,4\n", ITEMS, "e.csv, line 4: expected 3 columns, found 4"),
    ("duplicate item", EVENTS, ITEMS + "a,Again\n", "i.csv, line 4: the item_id is there already"),
    ("empty title", EVENTS, ITEMS + "c, \n", "i.csv, line 4: title must be text"),
    ("sponsored", EVENTS, "item_id,title,sponsored\na,A,\nb,B,maybe\n", "i.csv, line 3: sponsored must be"),
    ("Latin-1", EVENTS + "Andr\udce9,a,3\n", ITEMS, "e.csv, line 4: is no valid UTF-8"),
    ("Latin-1 in a title", EVENTS, ITEMS + "c,Am\udce9lie\n", "i.csv, line 4: is no valid UTF-8"),
    ("lines in quotes count", 'user_id,item_id,timestamp\n"u\nv",a,1\nu,a,x\n', ITEMS, "e.csv, line 4: timestamp"),
    ("blank lines count", "user_id,item_id,timestamp\n\nu,a,1\n\nu,a,x\n", ITEMS, "e.csv, line 5: timestamp"),
    ("open quote", EVENTS + '"u,a,3\nu,a,4\n', ITEMS, "unexpected end of data"),
    ("misplaced quote", EVENTS + '"u"x,a,3\n', ITEMS, "e.csv, line 4"),
]


def _tables(tmp_path, events, items):
    (tmp_path / "e.csv").write_bytes(events.encode(errors="surrogateescape"))
    (tmp_path / "i.csv").write_bytes(items.encode(errors="surrogateescape"))
    return Tables(tmp_path / "e.csv", tmp_path / "i.csv")


def _refused(tmp_path, source):
    workspace = Workspace.create(tmp_path / "w")
    with pytest.raises(DataError) as caught:
        import_source(source, workspace)
    assert [path.name for path in workspace.root.iterdir()] == [LOCK]
    assert caught.value.hint
    return str(caught.value)


@pytest.mark.parametrize(("events", "items", "message"), [c[1:] for c in CSV], ids=[c[0] for c in CSV])
def test_csv(tmp_path, events, items, message):
    source = _tables(tmp_path, events, items)
    assert message in _refused(tmp_path, source)
    try:
        found = validate_source(source).describe()
    except DataError as error:
        found = str(error)
    assert message in found
    assert sorted(path.name for path in tmp_path.iterdir()) == ["e.csv", "i.csv", "w"]


JSONL = [
    (
        "no JSON",
        '{"user_id": "u", "item_id": "a", "timestamp": 1}\n{"user_id": "u"\n',
        "e.jsonl, line 2: is no JSON object",
    ),
    ("a list", '{"user_id": "u", "item_id": "a", "timestamp": 1}\n[1]\n', "e.jsonl, line 2: is no JSON object"),
    ("missing field", '{"user_id": "u", "timestamp": 1}\n', "no column item_id"),
    (
        "field missing once",
        '{"user_id":"u","item_id":"a","timestamp":1}\n\n{"user_id":"u","item_id":"a"}\n',
        "line 3: timestamp",
    ),
    (
        "null id",
        '{"user_id":"u","item_id":"a","timestamp":1}\n{"user_id":null,"item_id":"a","timestamp":1}\n',
        "line 2: user_id",
    ),
    ("float id", '{"user_id": 1.5, "item_id": "a", "timestamp": 1}\n', "column user_id is of type double"),
    ("object as id", '{"user_id": {"x": 1}, "item_id": "a", "timestamp": 1}\n', "column user_id is of type struct"),
    ("half a pair", '{"user_id": "\\ud800", "item_id": "a", "timestamp": 1}\n', "line 1: is no JSON object"),
    ("Latin-1", '{"user_id": "\udce9", "item_id": "a", "timestamp": 1}\n', "line 1: is no valid UTF-8"),
    ("timestamp is a list", '{"user_id": "u", "item_id": "a", "timestamp": [1]}\n', "timestamp is of type list"),
    ("empty", "", "e.jsonl has no rows"),
]


@pytest.mark.parametrize(("text", "message"), [c[1:] for c in JSONL], ids=[c[0] for c in JSONL])
def test_json_lines(tmp_path, text, message):
    (tmp_path / "e.jsonl").write_bytes(text.encode(errors="surrogateescape"))
    (tmp_path / "i.csv").write_text(ITEMS)
    assert message in _refused(tmp_path, Tables(tmp_path / "e.jsonl", tmp_path / "i.csv"))


PARQUET = [
    ("float id", {"user_id": [1.0], "item_id": ["a"], "timestamp": [1]}, "column user_id is of type double"),
    ("missing column", {"user_id": ["u"], "item_id": ["a"]}, "no column timestamp"),
    ("timestamp is a boolean", {"user_id": ["u"], "item_id": ["a"], "timestamp": [True]}, "timestamp is of type bool"),
    ("null user", {"user_id": ["u", None], "item_id": ["a", "a"], "timestamp": [1, 2]}, "e.parquet, row 2: user_id"),
    ("unknown item", {"user_id": ["u", "u"], "item_id": ["a", "z"], "timestamp": [1, 2]}, "row 2: the item_id is not"),
    ("milliseconds", {"user_id": ["u"], "item_id": ["a"], "timestamp": [1_700_000_000_000]}, "--timestamp-unit ms"),
    ("no rows", {"user_id": pa.array([], pa.string()), "item_id": [], "timestamp": []}, "has no rows"),
]


@pytest.mark.parametrize(("columns", "message"), [c[1:] for c in PARQUET], ids=[c[0] for c in PARQUET])
def test_parquet(tmp_path, columns, message):
    pq.write_table(pa.table(columns), tmp_path / "e.parquet")
    (tmp_path / "i.csv").write_text(ITEMS)
    assert message in _refused(tmp_path, Tables(tmp_path / "e.parquet", tmp_path / "i.csv"))


def test_broken_text_in_parquet(tmp_path):
    broken = pa.Array.from_buffers(pa.string(), 1, pa.array([b"\xe9"], pa.binary()).buffers())
    table = pa.table({"user_id": broken, "item_id": ["a"], "timestamp": [1]})
    pq.write_table(table, tmp_path / "e.parquet")
    assert "is no valid UTF-8" in _refused(tmp_path, Tables(tmp_path / "e.parquet"))


FILES = [
    ("cut Parquet", "e.parquet", b"PAR1 and nothing more", "cannot be read as Parquet"),
    ("no Parquet", "e.parquet", b"", "cannot be read as Parquet"),
    ("cut gzip", "e.csv.gz", gzip.compress(EVENTS.encode() * 1000)[:-20], "cannot be unpacked"),
    ("no gzip", "e.csv.gz", EVENTS.encode(), "cannot be unpacked"),
    ("UTF-16", "e.csv", EVENTS.encode("utf-16"), "is in UTF-16; expected UTF-8"),
    ("unknown format", "e.xlsx", b"PK", "the format is not known"),
]


@pytest.mark.parametrize(("name", "contents", "message"), [c[1:] for c in FILES], ids=[c[0] for c in FILES])
def test_files(tmp_path, name, contents, message):
    (tmp_path / name).write_bytes(contents)
    assert message in _refused(tmp_path, Tables(tmp_path / name))


@pytest.mark.parametrize("name", ["e.csv", "e.jsonl", "e.parquet"])
def test_missing_files(tmp_path, name):
    assert "there is no file" in _refused(tmp_path, Tables(tmp_path / name))


def test_a_folder_is_no_file(tmp_path):
    (tmp_path / "e.csv").mkdir()
    assert "cannot be read" in _refused(tmp_path, Tables(tmp_path / "e.csv"))


def test_movielens_folder_without_data(tmp_path):
    assert "u.data and u.item" in _refused(tmp_path, MovieLens(tmp_path))


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("user_id\titem_id\ttimestamp", "has no type; expected name:type"),
        ("user_id:text\titem_id:token", "has no type"),
    ],
)
def test_recbole_headers(tmp_path, header, message):
    (tmp_path / "x.inter").write_text(header + "\nu\ta\t1\n")
    assert message in _refused(tmp_path, RecBole(tmp_path))


def test_recbole_folder_with_none_or_two_logs(tmp_path):
    assert "0 files *.inter" in _refused(tmp_path, RecBole(tmp_path))


def test_messages_show_no_data(tmp_path):
    secret = "SECRET"
    items = f"item_id,title,sponsored\na,A,\nb,{secret},{secret}\n"
    events = f"user_id,item_id,timestamp,value\n{secret},{secret},1,1\n{secret},a,{secret},1\n{secret},a,1,{secret}\n"
    text = _refused(tmp_path, _tables(tmp_path, events, items))
    assert "4 bad rows" in text
    assert secret not in text


def test_all_bad_rows_are_counted_and_the_first_are_shown(tmp_path):
    text = _refused(tmp_path, _tables(tmp_path, EVENTS + "u,a,x\n" * 50, ITEMS))
    assert "50 bad rows" in text
    assert "line 23: timestamp" in text
    assert "line 24: timestamp" not in text
    assert "and 30 more" in text
    assert "--max-bad-rows 50" in text


def test_reading_stops_where_everything_is_bad(tmp_path):
    assert "stopped reading at 1000 bad rows" in _refused(tmp_path, _tables(tmp_path, EVENTS + "u,a,x\n" * 5000, ITEMS))


def test_bad_rows_may_be_skipped_up_to_a_number(tmp_path):
    source = _tables(tmp_path, EVENTS + "u,z,3\nu,a\nu,a,x\nv,b,4\n", ITEMS + "a,Again\n")
    workspace = Workspace.create(tmp_path / "w")
    with pytest.raises(DataError, match="4 bad rows"):
        import_source(source, workspace, max_bad_rows=3)
    report = import_source(source, workspace, max_bad_rows=4)
    assert (report.events, report.bad_rows, report.users, report.items) == (3, 4, 2, 2)
    assert [row.place for row in report.shown_bad_rows] == [
        "i.csv, line 4",
        "e.csv, line 5",
        "e.csv, line 6",
        "e.csv, line 4",
    ]
    with SqliteStore(workspace.database) as store:
        assert store.item("a").title == "Alien"


def test_a_failed_import_leaves_old_data(tmp_path):
    workspace = Workspace.create(tmp_path / "w")
    import_source(_tables(tmp_path, EVENTS, ITEMS), workspace)
    with SqliteStore(workspace.database) as store:
        before = store.fingerprint()
        with pytest.raises(GenrecError):
            import_source(_tables(tmp_path, "user_id,item_id,timestamp\nv,c,1\nv,a,x\n", ITEMS + "c,C\n"), workspace)
        assert store.fingerprint() == before


def test_errors_in_json_items(tmp_path):
    (tmp_path / "e.csv").write_text(EVENTS)
    rows = [{"item_id": "a", "title": "A", "x": [1, "y"]}, {"item_id": "b", "title": "B", "x": {"y": 1}}]
    (tmp_path / "i.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    # A column of mixed types is read as text, so the import succeeds.
    workspace = Workspace.create(tmp_path / "w")
    import_source(Tables(tmp_path / "e.csv", tmp_path / "i.jsonl"), workspace)
    (tmp_path / "i.jsonl").write_text(json.dumps(rows[1]) + "\n" + json.dumps({"item_id": "a", "title": 7}))
    found = validate_source(Tables(tmp_path / "e.csv", tmp_path / "i.jsonl")).describe()
    assert "i.jsonl, line 1: x must be text, a number, or a list of texts" in found
