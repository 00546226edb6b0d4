import math
import sqlite3
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import genrec
from genrec.artifacts.workspace import Workspace
from genrec.data.importer import import_source
from genrec.data.sources.tables import Tables
from genrec.data.sqlite import schema
from genrec.data.sqlite.store import SqliteStore
from genrec.data.store import Exposure, open_store
from genrec.domain import Event, Item
from genrec.errors import DataError, NotFoundError, SettingsError, WorkspaceError

HOSTILE = [
    "'; DROP TABLE items; --",
    'say "hi"',
    "nul\0inside",
    "日本語 🎬",
    "a\nb\tc",
    "\u202eright to left",
    " ",
    "<|im_end|>",
]


@pytest.fixture
def store(tmp_path):
    with SqliteStore(tmp_path / "genrec.db", create=True) as opened:
        opened.put_items(Item(name, f"Title {name}") for name in "abc")
        yield opened


def test_items_come_back_as_they_were_put(store):
    item = Item("d", "Diabolik", {"year": 1968.0, "genres": ("Action", "Crime"), "plot": "…"}, sponsored=True)
    assert store.put_items([item]) == 1
    assert store.item("d") == item
    assert [i.id for i in store.items(["d", "a", "d"])] == ["d", "a", "d"]
    assert store.n_items() == 4


def test_replacing_an_item_keeps_its_place(store):
    store.put_items([Item("a", "New")])
    assert [(i.id, i.title) for i in store.all_items()] == [("a", "New"), ("b", "Title b"), ("c", "Title c")]
    assert store.interactions().item_ids.tolist() == ["a", "b", "c"]


def test_put_items_stores_all_or_none(store):
    with pytest.raises(DataError):
        store.put_items([Item("new", "fine"), Item("bad", "broken", {"x": math.nan})])
    with pytest.raises(NotFoundError):
        store.item("new")


@pytest.mark.parametrize("metadata", [{"x": None}, {"x": True}, {"x": {"y": "z"}}, {"x": (1, 2)}, {"x": "\ud800"}])
def test_metadata_must_be_text_number_or_texts(store, metadata):
    with pytest.raises(DataError):
        store.put_items([Item("x", "x", metadata)])


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_survive_in_every_place(store, text):
    store.put_items([Item(text, text, {text: text, "list": (text,)})])
    store.append([Event(text, text, 1.0, event_type=text, event_id=text, request_id=text)])
    store.block(text, [text])
    store.log_exposure(Exposure(text, text, (text,), 1.0, text, 1, text))
    entry = store.history(text).entries[0]
    assert entry.item == Item(text, text, {text: text, "list": (text,)})
    assert entry.event_type == text
    assert store.blocked(text) == {text}
    assert next(iter(store.exposures())).item_ids == (text,)
    assert store.append([Event("other", "a", 1.0, event_id=text)]) == 0


@pytest.mark.parametrize("bad", ["", "\ud800"])
def test_ids_must_be_text(store, bad):
    for event in (Event(bad, "a", 1.0), Event("u", bad, 1.0), Event("u", "a", 1.0, event_id=bad)):
        with pytest.raises(DataError):
            store.append([event])
    assert store.stats()["events"] == 0


@pytest.mark.parametrize(
    "event", [Event("u", "a", math.inf), Event("u", "a", math.nan), Event("u", "a", 1.0, value=math.nan)]
)
def test_numbers_must_be_finite(store, event):
    with pytest.raises(DataError):
        store.append([event])


def test_unknown_items_leave_nothing_behind(store):
    with pytest.raises(NotFoundError):
        store.append([Event("u", "a", 1.0), Event("u", "nope", 2.0)])
    assert store.stats() == {"users": 0, "items": 3, "events": 0, "exposures": 0}
    with pytest.raises(NotFoundError):
        store.items(["a", "nope"])


def test_an_event_id_counts_once(store):
    assert store.append([Event("u", "a", 1.0, event_id="1"), Event("u", "a", 1.0, event_id="1")]) == 1
    assert store.append([Event("u", "b", 2.0, event_id="1"), Event("u", "b", 2.0, event_id="2")]) == 1
    assert store.append([Event("u", "b", 2.0), Event("u", "b", 2.0)]) == 2
    assert store.history("u").item_ids() == ("a", "b", "b", "b")


def test_late_events_sort_by_time_and_ties_by_arrival(store):
    store.append([Event("u", "c", 5.0), Event("u", "a", 3.0)])
    store.append([Event("v", "a", 1.0), Event("u", "b", 3.0, value=2.0), Event("u", "a", 1.0)])
    assert store.history("u").item_ids() == ("a", "a", "b", "c")
    assert store.history("u", limit=2).item_ids() == ("b", "c")
    assert store.history("u", limit=0).entries == ()
    assert store.history("u", before=3.0).item_ids() == ("a",)
    assert store.history("u", limit=1, before=5.0).entries[0].value == 2.0
    assert store.history("nobody").entries == ()


def test_interactions_are_the_sorted_columns(store):
    store.append([Event("u", "c", 5.0), Event("v", "a", 1.0, value=4.0), Event("u", "a", 3.0), Event("u", "b", 3.0)])
    log = store.interactions()
    assert log.user_ids.tolist() == ["u", "v"]
    assert log.user.tolist() == [0, 0, 0, 1]
    assert log.item.tolist() == [0, 1, 2, 0]
    assert log.timestamp.tolist() == [3.0, 3.0, 5.0, 1.0]
    np.testing.assert_array_equal(log.value, [np.nan, np.nan, np.nan, 4.0])
    assert log.indptr.tolist() == [0, 3, 4]


def test_an_empty_store_has_empty_columns(tmp_path):
    with SqliteStore(tmp_path / "genrec.db", create=True) as store:
        log = store.interactions()
        assert (len(log), log.n_users, log.n_items) == (0, 0, 0)
        assert log.indptr.tolist() == [0]
        assert list(store.all_items()) == []


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from("abc")), max_size=12), st.randoms(use_true_random=False))
def test_any_order_of_arrival_gives_the_same_history(tmp_path_factory, rows, random):
    rows = [(at + place / 100, item) for place, (at, item) in enumerate(rows)]  # distinct times
    shuffled = random.sample(rows, len(rows))
    with SqliteStore(tmp_path_factory.mktemp("order") / "genrec.db", create=True) as store:
        store.put_items(Item(name, name) for name in "abc")
        store.append([Event("u", item, at) for at, item in shuffled])
        assert store.history("u").item_ids() == tuple(item for _, item in sorted(rows))
        log = store.interactions()
        assert log.timestamp.tolist() == sorted(at for at, _ in rows)
        assert [log.item_ids[i] for i in log.item] == [item for _, item in sorted(rows)]


def test_exposures_keep_order_and_propensities(store):
    first = Exposure("r1", "u", ("b", "a"), 1.0, "rank/pointwise", 2, "abc", (0.75, 0.25))
    second = Exposure("r2", None, ("c",), 2.0)
    store.log_exposure(second)
    store.log_exposure(first)
    store.log_exposure(Exposure("r1", "u", ("c",), 9.0))
    assert list(store.exposures()) == [first, second]


def test_blocks_add_up(store):
    store.block("u", ["a", "b"])
    store.block("u", ["b", "c"])
    assert store.blocked("u") == {"a", "b", "c"}
    assert store.blocked("v") == frozenset()


def test_the_fingerprint_follows_the_contents(tmp_path, store):
    with SqliteStore(tmp_path / "twin.db", create=True) as twin:
        twin.put_items(Item(name, f"Title {name}") for name in "abc")
        for each in (store, twin):
            each.append([Event("u", "a", 1.0)])
        assert store.fingerprint() == twin.fingerprint()
        twin.append([Event("u", "a", 1.0)])
        assert store.fingerprint() != twin.fingerprint()
    before = store.fingerprint()
    store.put_items([Item("a", "Other")])
    assert store.fingerprint() != before


def test_threads_share_a_store(store):
    def write(name):
        for number in range(20):
            store.append([Event(name, "a", float(number))])
            assert len(store.history(name).entries) == number + 1

    failures = []
    threads = [threading.Thread(target=_collect, args=(failures, write, f"u{n}")) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert store.stats()["events"] == 80


def _collect(failures, function, argument):
    try:
        function(argument)
    except BaseException as error:
        failures.append(error)


def test_a_missing_file_is_an_error_unless_made(tmp_path):
    with pytest.raises(WorkspaceError, match="no database"):
        SqliteStore(tmp_path / "genrec.db")
    SqliteStore(tmp_path / "genrec.db", create=True).close()
    assert [path.name for path in tmp_path.iterdir()] == ["genrec.db"]
    SqliteStore(tmp_path / "genrec.db").close()


def test_a_newer_file_is_refused(tmp_path):
    path = tmp_path / "genrec.db"
    SqliteStore(path, create=True).close()
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {schema.VERSION + 1}")
    connection.close()
    with pytest.raises(WorkspaceError, match="newer genrec"):
        SqliteStore(path)


@pytest.mark.parametrize("contents", [b"", b"not a database at all, but long enough to look" * 20])
def test_another_file_is_refused(tmp_path, contents):
    path = tmp_path / "genrec.db"
    path.write_bytes(contents)
    with pytest.raises(WorkspaceError, match="no genrec database"):
        SqliteStore(path, create=True)


def test_a_closed_store_opens_again_by_itself(store):
    store.close()
    assert store.n_items() == 3


class TestOpening:
    """A store is found by the settings of its workspace."""

    def test_another_file(self, tmp_path):
        (tmp_path / "genrec.toml").write_text(
            '[data]\nurl = "sqlite:///elsewhere.db"\nevent_types = { up = "dislike" }\n'
        )
        (tmp_path / "log.csv").write_text("user_id,item_id,timestamp,event_type\nu,a,1,up\nu,b,2,like\n")
        workspace = Workspace.create(tmp_path)
        assert import_source(Tables(tmp_path / "log.csv"), workspace).new_events == 2
        assert (tmp_path / "elsewhere.db").is_file()
        assert not workspace.database.exists()
        with open_store(Workspace.open(tmp_path)) as store:
            assert store.interactions().noes.tolist() == [True, False]
            assert store.median_user() == "u"
            assert store.popular_items() == ["a", "b"]

    def test_a_database_of_outsiders(self, tmp_path, monkeypatch):
        (tmp_path / "mystore.py").write_text(
            "def open_url(url, root, **options):\n    return url, root, sorted(options)\n"
        )
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.setenv("GENREC_DATA__URL", "outside.mystore://host")
        (tmp_path / "outside").mkdir()
        (tmp_path / "mystore.py").rename(tmp_path / "outside" / "mystore.py")
        opened = open_store(Workspace.open(tmp_path))
        assert opened == ("outside.mystore://host", tmp_path, ["create", "event_types", "liked"])
        with pytest.raises(SettingsError, match="imports go to SQLite"):
            import_source(Tables(tmp_path / "log.csv"), Workspace.open(tmp_path))

    def test_one_that_is_not_there(self):
        with pytest.raises(SettingsError, match="there is no database 'oracle'"):
            open_store("oracle://host/db")

    def test_a_meaning_that_is_not_there(self, tmp_path):
        with pytest.raises(SettingsError, match="no known event type"):
            SqliteStore(tmp_path / "genrec.db", create=True, event_types={"up": "upwards"})

    def test_nothing_above_knows_a_database(self):
        package = Path(genrec.__file__).parent
        files = [path for path in package.rglob("*.py") if package / "data" not in path.parents]
        assert files
        assert not [path for path in files if "data.sqlite" in path.read_text("utf-8")]
