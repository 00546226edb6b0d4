import signal
import sqlite3
import subprocess
import sys

import pytest

from genrec.artifacts.workspace import Workspace
from genrec.data.importer import LOCK, import_source
from genrec.data.sources.tables import Tables
from genrec.data.sqlite.store import SqliteStore
from genrec.domain import Event
from genrec.errors import WorkspaceError

ITEMS = "item_id,title,sponsored,genre\na,Alien,,Horror\nb,Brazil,1,\nc,Cube,,\n"


@pytest.fixture
def workspace(tmp_path):
    return Workspace.create(tmp_path / "w")


@pytest.fixture
def tables(tmp_path):
    def make(events, items=ITEMS):
        (tmp_path / "e.csv").write_text(events)
        if items is not None:
            (tmp_path / "i.csv").write_text(items)
        return Tables(tmp_path / "e.csv", None if items is None else tmp_path / "i.csv")

    return make


def rows(*events, header="user_id,item_id,timestamp"):
    return "\n".join([header, *events]) + "\n"


def test_import_fills_the_workspace(workspace, tables):
    shares = []
    report = import_source(
        tables(rows("u,a,2,5,play", "v,b,1,,", "u,b,1,3,play", header="user_id,item_id,timestamp,value,event_type")),
        workspace,
        progress=lambda stage, share: shares.append((stage, share)),
    )
    assert (report.users, report.items, report.events, report.new_events) == (2, 3, 3, 3)
    assert not report.items_made_from_ids
    assert shares[0][0] == "reading"
    assert shares[-1] == ("indexing", 1.0)
    assert sorted(path.name for path in workspace.root.iterdir()) == [LOCK, "genrec.db"]
    with SqliteStore(workspace.database) as store:
        entries = store.history("u").entries
        assert [(e.item.title, e.value, e.event_type) for e in entries] == [
            ("Brazil", 3.0, "play"),
            ("Alien", 5.0, "play"),
        ]
        assert store.history("v").entries[0].event_type == "interaction"
        assert store.history("v").entries[0].value is None
        assert store.item("b").sponsored
        assert store.item("a").metadata == {"genre": "Horror"}
        assert store.append([Event("u", "c", 3.0)]) == 1


def test_the_same_file_again_adds_nothing(workspace, tables):
    source = tables(rows("u,a,1", "u,a,1", "v,b,2"))  # two equal events are two events
    assert import_source(source, workspace).new_events == 3
    with SqliteStore(workspace.database) as store:
        before = store.fingerprint()
        assert import_source(source, workspace).new_events == 0
        assert store.fingerprint() == before
        assert store.stats()["events"] == 3


def test_a_file_that_has_grown_adds_what_is_new(workspace, tables):
    import_source(tables(rows("u,a,1", "v,b,2")), workspace)
    with SqliteStore(workspace.database) as store:
        store.append([Event("u", "c", 9.0)])
        report = import_source(
            tables(rows("u,a,1", "v,b,2", "u,a,1", "w,c,3"), ITEMS.replace("Cube", "Cube²")), workspace
        )
        assert (report.events, report.new_events) == (4, 2)
        assert store.stats() == {"users": 3, "items": 3, "events": 5, "exposures": 0}
        assert store.history("u").item_ids() == ("a", "a", "c")
        assert store.item("c").title == "Cube²"


def test_equal_events_with_other_values_or_types_are_other_events(workspace, tables):
    header = "user_id,item_id,timestamp,value,event_type"
    import_source(tables(rows("u,a,1,5,play", header=header)), workspace)
    source = tables(rows("u,a,1,5,play", "u,a,1,4,play", "u,a,1,,play", "u,a,1,5,skip", header=header))
    assert import_source(source, workspace).new_events == 3
    assert import_source(source, workspace).new_events == 0


def test_event_ids_count_once_within_and_across_imports(workspace, tables):
    header = "user_id,item_id,timestamp,event_id"
    report = import_source(tables(rows("u,a,1,x", "u,b,2,x", "u,b,3,", header=header)), workspace)
    assert (report.events, report.new_events, report.dropped_events) == (3, 2, 1)
    assert import_source(tables(rows("u,c,1,x", "u,c,2,y", header=header)), workspace).new_events == 1
    with SqliteStore(workspace.database) as store:
        assert store.append([Event("u", "a", 1.0, event_id="y")]) == 0
        assert store.history("u").item_ids() == ("a", "c", "b")


def test_items_are_made_where_there_is_no_file(workspace, tables):
    report = import_source(tables(rows("u,x,1", "u,y,2"), items=None), workspace)
    assert report.items_made_from_ids
    assert report.items == 2
    with SqliteStore(workspace.database) as store:
        assert [(item.id, item.title) for item in store.all_items()] == [("x", "x"), ("y", "y")]


def test_made_items_never_replace_known_ones(workspace, tables):
    import_source(tables(rows("u,a,1")), workspace)
    report = import_source(tables(rows("u,b,1", "u,z,2"), items=None), workspace)
    assert report.items == 1
    with SqliteStore(workspace.database) as store:
        assert [(item.id, item.title) for item in store.all_items()] == [
            ("a", "Alien"),
            ("b", "Brazil"),
            ("c", "Cube"),
            ("z", "z"),
        ]


def test_items_of_the_workspace_are_known(workspace, tables):
    import_source(tables(rows("u,a,1")), workspace)
    report = import_source(tables(rows("v,a,1", "v,d,2"), "item_id,title\nd,Dune\n"), workspace)
    assert (report.items, report.new_events) == (1, 2)
    with SqliteStore(workspace.database) as store:
        assert [item.title for item in store.all_items()] == ["Alien", "Brazil", "Cube", "Dune"]


def test_rare_items_are_left_out_before_rare_users(workspace, tables):
    # c has one event; without it v is down to one event, w has two.
    source = tables(rows("u,a,1", "u,b,2", "v,a,3", "v,c,4", "w,a,5", "w,b,6"))
    report = import_source(source, workspace, min_item_events=2, min_user_events=2)
    assert (report.dropped_items, report.dropped_users, report.dropped_events) == (1, 1, 2)
    with SqliteStore(workspace.database) as store:
        log = store.interactions()
        assert log.user_ids.tolist() == ["u", "w"]
        assert log.item_ids.tolist() == ["a", "b"]
        assert log.item.tolist() == [0, 1, 0, 1]
    assert import_source(source, workspace, min_item_events=2, min_user_events=2).new_events == 0


def test_users_without_events_left_are_no_users(workspace, tables):
    import_source(tables(rows("u,a,1", "v,a,2", "w,c,3")), workspace, min_item_events=2)
    with SqliteStore(workspace.database) as store:
        assert store.interactions().user_ids.tolist() == ["u", "v"]


def test_cold_items_stay_by_default(workspace, tables):
    import_source(tables(rows("u,a,1")), workspace)
    with SqliteStore(workspace.database) as store:
        assert store.n_items() == 3


def test_ties_keep_the_order_of_the_file(workspace, tables):
    import_source(tables(rows("u,c,1", "v,a,1", "u,a,1", "u,b,1")), workspace)
    with SqliteStore(workspace.database) as store:
        assert store.history("u").item_ids() == ("c", "a", "b")
    import_source(tables(rows("w,c,1", "w,a,1", "w,b,1")), workspace)
    with SqliteStore(workspace.database) as store:
        assert store.history("w").item_ids() == ("c", "a", "b")


IMPORT = """
import sys, time
from pathlib import Path
import signal
from genrec.data.importer import import_source
from genrec.data.sources.tables import Tables
from genrec.artifacts.workspace import Workspace
# A parent that runs in the background of a shell would hand down that it is ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
def stop(stage, share):
    if stage == sys.argv[3]:
        print(stage, flush=True)
        time.sleep(60)
import_source(Tables(Path(sys.argv[1])), Workspace(Path(sys.argv[2])), progress=stop)
"""


def test_a_workspace_that_cannot_be_locked_is_an_error(workspace, tables):
    (workspace.root / LOCK).mkdir()
    with pytest.raises(WorkspaceError, match="cannot be written") as raised:
        import_source(tables(rows("u,a,1"), items=None), workspace)
    assert "permissions" in raised.value.hint


def _killed(workspace, source, stage, number):
    process = subprocess.Popen(
        [sys.executable, "-c", IMPORT, str(source.interactions), str(workspace.root), stage],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout.readline().strip() == stage
        with pytest.raises(WorkspaceError, match="another import"):
            import_source(source, workspace)
    finally:
        process.send_signal(number)
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
@pytest.mark.parametrize("stage", ["reading", "indexing"])
def test_a_killed_import_leaves_nothing(workspace, tables, stage, number):
    source = tables(rows("u,a,1"), items=None)
    _killed(workspace, source, stage, number)
    assert not workspace.database.exists()
    assert import_source(source, workspace).new_events == 1
    assert sorted(path.name for path in workspace.root.iterdir()) == [LOCK, "genrec.db"]


@pytest.mark.parametrize("stage", ["reading", "merging"])
def test_a_killed_import_leaves_the_old_state(workspace, tables, stage):
    import_source(tables(rows("u,a,1")), workspace)
    with SqliteStore(workspace.database) as store:
        before = store.fingerprint()
        source = tables(rows("u,b,1", "v,a,2"))
        _killed(workspace, source, stage, signal.SIGKILL)
        assert store.fingerprint() == before
        assert import_source(source, workspace).new_events == 2
        assert store.stats()["events"] == 3


def test_an_error_while_merging_leaves_the_old_state(workspace, tables, monkeypatch):
    import_source(tables(rows("u,a,1")), workspace)
    connection = sqlite3.connect(workspace.database)
    connection.execute("CREATE TRIGGER full BEFORE INSERT ON events BEGIN SELECT RAISE(ABORT, 'disk is full'); END")
    connection.close()
    with SqliteStore(workspace.database) as store:
        before = store.fingerprint()
        with pytest.raises(WorkspaceError, match="cannot be written: disk is full"):
            import_source(tables(rows("v,b,1", "v,d,1"), ITEMS + "d,Dune,,\n"), workspace)
        assert store.fingerprint() == before


def test_a_server_may_append_before_and_after_an_import(workspace, tables):
    import_source(tables(rows("u,a,1")), workspace)
    with SqliteStore(workspace.database) as store:
        store.append([Event("u", "b", 2.0)])
        import_source(tables(rows("u,c,3")), workspace)
        store.append([Event("u", "a", 4.0)])
        assert store.history("u").item_ids() == ("a", "b", "c", "a")


@pytest.mark.parametrize("events", [1, 49, 50, 51, 130])
def test_every_row_is_inserted_whatever_their_number(workspace, tables, events):
    import_source(tables(rows(*(f"u,{'abc'[n % 3]},{n}" for n in range(events)))), workspace)
    with SqliteStore(workspace.database) as store:
        history = store.history("u")
        assert history.item_ids() == tuple("abc"[n % 3] for n in range(events))
        assert [entry.timestamp for entry in history.entries] == [float(n) for n in range(events)]
