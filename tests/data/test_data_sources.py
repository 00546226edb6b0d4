import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from genrec.data.sources.base import BadRows
from genrec.data.sources.hub import Hub
from genrec.data.sources.movielens import MovieLens
from genrec.data.sources.recbole import RecBole
from genrec.data.sources.tables import Tables
from genrec.domain import Item


def read(source):
    """Items, and events as (user, item, timestamp, value, type)."""
    bad = BadRows()
    items = list(source.items(bad))
    events = []
    for batch in source.events(bad):
        n = len(batch.line)
        columns = (batch.user_id, batch.item_id, batch.timestamp, batch.value, batch.event_type)
        events += zip(*([None] * n if column is None else column.tolist() for column in columns), strict=True)
        assert 0 < batch.share <= 1
    assert bad.count == 0
    return items, events


def test_movielens_100k(tmp_path):
    (tmp_path / "u.data").write_text("196\t242\t3\t881250949\n186\t302\t5\t891717742\n")
    flags = ["0"] * 19
    flags[5] = flags[16] = "1"  # Comedy, Thriller
    rows = [
        ["242", "Misérables, Les (1995)", "01-Jan-1995", "", "http://x", *flags],
        ["302", "unknown", "", "", "", "1", *["0"] * 18],
    ]
    (tmp_path / "u.item").write_bytes("\n".join("|".join(row) for row in rows).encode("latin-1"))
    items, events = read(MovieLens(tmp_path))
    assert items == [
        Item("242", "Misérables, Les", {"year": "1995", "genres": ("Comedy", "Thriller")}),
        Item("302", "unknown"),
    ]
    assert events == [("196", "242", 881250949.0, 3.0, "watch"), ("186", "302", 891717742.0, 5.0, "watch")]


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8"])
def test_movielens_1m_and_10m(tmp_path, encoding):
    (tmp_path / "ratings.dat").write_text("1::122::4.5::838985046\n")
    text = "122::Amélie: or (not) (2001)::Comedy|Romance\n5::Nosferatu a Venezia (1986)::Horror\n"
    (tmp_path / "movies.dat").write_bytes(text.encode(encoding))
    items, events = read(MovieLens(tmp_path))
    assert items[0] == Item("122", "Amélie: or (not)", {"year": "2001", "genres": ("Comedy", "Romance")})
    assert events == [("1", "122", 838985046.0, 4.5, "watch")]


def test_movielens_csv(tmp_path):
    (tmp_path / "ratings.csv").write_text("userId,movieId,rating,timestamp\n1,11,4.0,964982703\n")
    (tmp_path / "movies.csv").write_text(
        'movieId,title,genres\n11,"American President, The (1995)",Comedy|Drama\n12,Babylon 5,(no genres listed)\n'
    )
    items, events = read(MovieLens(tmp_path))
    assert items == [
        Item("11", "American President, The", {"year": "1995", "genres": ("Comedy", "Drama")}),
        Item("12", "Babylon 5"),
    ]
    assert events == [("1", "11", 964982703.0, 4.0, "watch")]


def test_recbole(tmp_path):
    (tmp_path / "x.inter").write_text("user_id:token\titem_id:token\trating:float\ttimestamp:float\n7\t1\t3\t88\n")
    (tmp_path / "x.item").write_text(
        "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\ttags:token_seq\tprice:float\n"
        '1\tToy "Story"\t1995\tAnimation Children\'s\t\t9.5\n'
    )
    items, events = read(RecBole(tmp_path))
    assert items == [Item("1", 'Toy "Story"', {"year": "1995", "genres": ("Animation", "Children's"), "price": "9.5"})]
    assert events == [("7", "1", 88.0, 3.0, "watch")]


def test_recbole_without_items(tmp_path):
    (tmp_path / "x.inter").write_text("user_id:token\titem_id:token\ttimestamp:float\n7\t1\t88\n")
    source = RecBole(tmp_path)
    assert not source.has_items
    assert read(source) == ([], [("7", "1", 88.0, None, None)])


EVENTS = [
    {"user_id": "u", "item_id": "a", "timestamp": 1, "value": 2.5, "event_type": "click"},
    {"user_id": "v", "item_id": "b", "timestamp": 2, "value": None, "event_type": None},
]
READ = [("u", "a", 1.0, 2.5, "click"), ("v", "b", 2.0, None, None)]


def _without_nan(events):
    return [(*event[:3], None if event[3] != event[3] else event[3], event[4]) for event in events]


@pytest.mark.parametrize("name", ["e.csv", "e.csv.gz", "e.tsv", "e.jsonl", "e.jsonl.gz", "e.parquet"])
def test_tables_in_every_format(tmp_path, name):
    delimiter = "\t" if "tsv" in name else ","
    rows = [list(EVENTS[0]), *([str("" if v is None else v) for v in event.values()] for event in EVENTS)]
    text = "\n".join(delimiter.join(row) for row in rows)
    if "jsonl" in name:
        text = "\n".join(json.dumps(event) for event in EVENTS)
    if name.endswith(".parquet"):
        pq.write_table(pa.Table.from_pylist(EVENTS), tmp_path / name)
    elif name.endswith(".gz"):
        (tmp_path / name).write_bytes(gzip.compress(text.encode()))
    else:
        (tmp_path / name).write_text(text)
    items, events = read(Tables(tmp_path / name))
    assert items == []
    assert _without_nan(events) == READ


def test_ids_are_text_whatever_they_look_like(tmp_path):
    (tmp_path / "e.csv").write_text("user_id,item_id,timestamp\n007,1e3,1\n 7,NA,2\nnull,true,3\n")
    assert [event[:2] for event in read(Tables(tmp_path / "e.csv"))[1]] == [
        ("007", "1e3"),
        (" 7", "NA"),
        ("null", "true"),
    ]
    pq.write_table(
        pa.table({"user_id": [7], "item_id": pa.array(["x"]).dictionary_encode(), "timestamp": [1]}),
        tmp_path / "e.parquet",
    )
    assert [event[:2] for event in read(Tables(tmp_path / "e.parquet"))[1]] == [("7", "x")]


def test_a_byte_order_mark_and_windows_line_ends(tmp_path):
    (tmp_path / "e.csv").write_bytes(b"\xef\xbb\xbfuser_id,item_id,timestamp\r\nu,a,1\r\n\r\n")
    assert read(Tables(tmp_path / "e.csv"))[1] == [("u", "a", 1.0, None, None)]


@pytest.mark.parametrize(
    ("unit", "number"),
    [("s", "1700000000"), ("ms", "1700000000000"), ("us", "1700000000000000"), ("ns", "1700000000000000000")],
)
def test_timestamp_units(tmp_path, unit, number):
    (tmp_path / "e.csv").write_text(f"user_id,item_id,timestamp\nu,a,{number}\n")
    assert read(Tables(tmp_path / "e.csv", timestamp_unit=unit))[1][0][2] == 1_700_000_000.0


def test_dates_are_seconds_whatever_the_unit(tmp_path):
    (tmp_path / "e.csv").write_text(
        "user_id,item_id,timestamp\nu,a,2023-11-14T22:13:20\nu,a,2023-11-14 23:13:20+01:00\nu,a,1970-01-02\nu,a,5000\n"
    )
    times = [event[2] for event in read(Tables(tmp_path / "e.csv", timestamp_unit="ms"))[1]]
    assert times == [1_700_000_000.0, 1_700_000_000.0, 86_400.0, 5.0]
    date = pa.array([1_700_000_000_000], pa.timestamp("ms", tz="Europe/Zurich"))
    pq.write_table(pa.table({"user_id": ["u"], "item_id": ["a"], "timestamp": date}), tmp_path / "e.parquet")
    assert read(Tables(tmp_path / "e.parquet"))[1][0][2] == 1_700_000_000.0


def test_other_item_columns_are_metadata(tmp_path):
    (tmp_path / "e.csv").write_text("user_id,item_id,timestamp\nu,a,1\n")
    rows = [
        {"item_id": 1, "title": " A ", "year": 1995, "tags": ["x", "y"], "new": True, "sponsored": True, "none": None},
        {"item_id": 2, "title": "B", "year": 2.5, "tags": [], "new": False, "sponsored": None},
    ]
    (tmp_path / "i.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    items, _ = read(Tables(tmp_path / "e.csv", tmp_path / "i.jsonl"))
    assert items == [
        Item("1", "A", {"year": 1995.0, "tags": ("x", "y"), "new": "true"}, sponsored=True),
        Item("2", "B", {"year": 2.5, "new": "false"}),
    ]


@pytest.mark.parametrize(("text", "sponsored"), [("true", True), ("1", True), ("Yes", True), ("0", False), ("", False)])
def test_sponsored_in_text(tmp_path, text, sponsored):
    (tmp_path / "e.csv").write_text("user_id,item_id,timestamp\nu,a,1\n")
    (tmp_path / "i.csv").write_text(f"item_id,title,sponsored\na,A,{text}\n")
    assert read(Tables(tmp_path / "e.csv", tmp_path / "i.csv"))[0] == [Item("a", "A", {}, sponsored)]


def test_quoted_titles_may_have_anything(tmp_path):
    (tmp_path / "e.csv").write_text("user_id,item_id,timestamp\nu,a,1\n")
    (tmp_path / "i.csv").write_text('item_id,title\na,"One, ""two""\nthree"\n')
    assert read(Tables(tmp_path / "e.csv", tmp_path / "i.csv"))[0] == [Item("a", 'One, "two"\nthree')]


def test_hub_reads_what_datasets_saved(tmp_path):
    datasets = pytest.importorskip("datasets")
    datasets.DatasetDict(
        {"train": datasets.Dataset.from_list(EVENTS[:1]), "test": datasets.Dataset.from_list(EVENTS[1:])}
    ).save_to_disk(tmp_path / "events")
    datasets.Dataset.from_list([{"item_id": "a", "title": "A"}, {"item_id": "b", "title": "B"}]).save_to_disk(
        tmp_path / "items"
    )
    items, events = read(Hub(tmp_path / "events", tmp_path / "items"))
    assert items == [Item("a", "A"), Item("b", "B")]
    assert _without_nan(events) == READ


def test_hub_reads_folders_of_files(tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    (tmp_path / "events").mkdir()
    (tmp_path / "events" / "e.csv").write_text("user_id,item_id,timestamp\nu,a,1\n")
    assert read(Hub(tmp_path / "events"))[1] == [("u", "a", 1.0, None, None)]
