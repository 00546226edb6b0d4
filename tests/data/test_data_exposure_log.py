"""Exposures behind the answers: in order, none lost unsaid, and no answer waits for long."""

import asyncio
import logging
import threading
import time

import pytest

from genrec.data import exposure_log
from genrec.data.exposure_log import ExposureLog
from genrec.data.store import Exposure
from genrec.errors import WorkspaceError


class Store:
    """Writes once the gate is open; fails for requests that begin with `bad`."""

    def __init__(self):
        self.gate = threading.Event()
        self.kept, self.pruned = [], []

    def prune_traces(self, before):
        self.pruned.append(before)
        return 0

    def log_exposure(self, exposure):
        self.gate.wait()
        if exposure.request_id.startswith("bad"):
            raise WorkspaceError("the disk is full")
        if exposure.request_id.startswith("odd"):
            raise ZeroDivisionError("private")
        self.kept.append(exposure.request_id)


@pytest.fixture
def store():
    made = Store()
    yield made
    made.gate.set()


def written(log, *requests):
    async def write():
        for request in requests:
            await log.write(Exposure(request, "u", ("a",), 1.0))

    asyncio.run(write())


def test_it_is_stored_when_the_answer_goes_out(store):
    store.gate.set()
    log = ExposureLog(store)
    written(log, "r1")
    assert store.kept == ["r1"]
    log.close()


def test_answers_go_on_while_the_store_is_busy_and_nothing_is_lost(store, monkeypatch, caplog):
    monkeypatch.setattr(exposure_log, "PATIENCE_S", 0.01)
    log = ExposureLog(store)
    with caplog.at_level(logging.WARNING):
        written(log, "r1", "r2", "r3")  # ends although nothing can be written; its loop is closed then
    assert store.kept == []
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    store.gate.set()
    log.close()
    assert store.kept == ["r1", "r2", "r3"]
    written(log, "r4")
    log.close()
    assert store.kept[-1] == "r4"


def test_what_cannot_be_stored_is_an_error_in_the_log(store, caplog):
    store.gate.set()
    log = ExposureLog(store)
    written(log, "bad", "odd", "r1")
    log.close()
    assert store.kept == ["r1"]
    assert [record.getMessage() for record in caplog.records] == [
        "an exposure was not logged: the disk is full",
        "an exposure was not logged: ZeroDivisionError",
    ]


def test_too_many_are_given_up_and_said_to_be(store, monkeypatch, caplog):
    monkeypatch.setattr(exposure_log, "MOST_WAITING", 2)
    monkeypatch.setattr(exposure_log, "PATIENCE_S", 0.01)
    log = ExposureLog(store)
    written(log, "r1", "r2", "r3")
    assert "2 others wait" in caplog.text
    store.gate.set()
    log.close()
    assert store.kept == ["r1", "r2"]


def test_an_answer_that_is_cancelled_is_kept(store):
    log = ExposureLog(store)

    async def leave():
        task = asyncio.create_task(log.write(Exposure("r1", "u", ("a",), 1.0)))
        await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(leave())
    store.gate.set()
    log.close()
    assert store.kept == ["r1"]


def test_old_traces_are_removed_once_a_day(store, monkeypatch):
    store.gate.set()
    now = 1e9
    monkeypatch.setattr(time, "time", lambda: now)
    log = ExposureLog(store, keep_days=2)
    written(log, "r1", "r2")
    now += 86_401
    written(log, "r3")
    log.close()
    assert store.pruned == [1e9 - 2 * 86_400, 1e9 + 86_401 - 2 * 86_400]


def test_traces_that_cannot_be_removed_cost_no_exposure(store, caplog):
    def fail(before):
        raise WorkspaceError("busy")

    store.gate.set()
    store.prune_traces = fail
    log = ExposureLog(store)
    written(log, "r1")
    log.close()
    assert store.kept == ["r1"]
    assert [record.getMessage() for record in caplog.records] == ["old traces were not removed: busy"]
