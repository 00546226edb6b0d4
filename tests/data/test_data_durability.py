import signal
import subprocess
import sys

from genrec.data.sqlite.store import SqliteStore
from genrec.domain import Item

WRITER = """
import sys
from pathlib import Path
from genrec.data.sqlite.store import SqliteStore
from genrec.domain import Event
store = SqliteStore(Path(sys.argv[1]))
for number in range(int(sys.argv[3])):
    store.append([Event(sys.argv[2], "a", float(number), event_id=f"{sys.argv[2]}-{number}")])
    print(number, flush=True)
sys.stdin.read()
"""


def _writer(path, user, events):
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), user, str(events)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def _store(tmp_path):
    store = SqliteStore(tmp_path / "genrec.db", create=True)
    store.put_items([Item("a", "A")])
    return store


def test_acknowledged_events_survive_kill_9(tmp_path):
    with _store(tmp_path) as store:
        path = store.path
    writer = _writer(path, "u", 1_000_000)
    acknowledged = -1
    for _ in range(25):
        acknowledged = int(writer.stdout.readline())
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    acknowledged = max([acknowledged, *(int(line) for line in writer.stdout if line.endswith("\n"))])
    writer.stdout.close()
    writer.stdin.close()
    with SqliteStore(path) as store:
        kept = [entry.timestamp for entry in store.history("u").entries]
    assert acknowledged >= 24
    assert kept[: acknowledged + 1] == [float(number) for number in range(acknowledged + 1)]
    assert len(kept) <= acknowledged + 2  # at most the one whose acknowledgement was cut off


def test_two_processes_append_at_the_same_time(tmp_path):
    with _store(tmp_path) as store:
        writers = [_writer(store.path, user, 60) for user in ("u", "v")]
        outputs = [writer.communicate()[0] for writer in writers]
        assert [writer.returncode for writer in writers] == [0, 0]
        assert [len(output.splitlines()) for output in outputs] == [60, 60]
        assert store.stats() == {"users": 2, "items": 1, "events": 120, "exposures": 0}
        assert [entry.timestamp for entry in store.history("v").entries] == [float(number) for number in range(60)]
