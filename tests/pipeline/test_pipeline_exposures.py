"""Answers when what was shown cannot be logged, or not at once."""

from __future__ import annotations

import logging
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from genrec.data import exposure_log
from genrec.data.sqlite import schema
from genrec.data.sqlite.store import SqliteStore
from genrec.domain import Event, Item
from genrec.pipeline.recommender import Recommender
from genrec.retrieval.tuning import fit_hybrid
from genrec.settings import Settings
from scoring_factories import retrieval_scorer


@pytest.fixture
def store(tmp_path: Path) -> SqliteStore:
    made = SqliteStore(tmp_path / "genrec.db", create=True)
    made.put_items(Item(f"i{n}", f"Title {n}") for n in range(20))
    made.append([Event(f"u{user}", f"i{(user + step) % 20}", 100.0 * step) for user in range(15) for step in range(5)])
    return made


def recommender(store: SqliteStore) -> Recommender:
    settings = Settings.load(None, {"retrieval": {"retrievers": ("covisit", "popular"), "candidates": 8, "pool": 12}})
    blend = fit_hybrid(store.interactions(), list(store.all_items()), settings=settings, encoder=None, tune=False)
    return Recommender(
        store=store,
        retriever=blend,
        ranker=None,
        scorer=retrieval_scorer(store, settings),
        settings=settings,
        version="v1",
    )


def test_a_full_disk_costs_the_exposure_and_not_the_answer(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rec, connect = recommender(store), schema.connect

    def full(path: Path) -> Any:
        connection = connect(path)
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages}")
        return connection

    monkeypatch.setattr(schema, "connect", full)
    store.close()
    user = "u" * 100_000  # takes more than what is left of a page
    with caplog.at_level(logging.ERROR):
        answer = rec.recommend(user, 5)
    rec.close()
    assert len(answer.items) == 5
    assert list(store.exposures()) == []
    (said,) = [record.getMessage() for record in caplog.records]
    assert "an exposure was not logged" in said
    assert "disk is full" in said
    assert user not in said


def test_a_busy_store_delays_no_answer_and_loses_none(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(exposure_log, "PATIENCE_S", 0.02)
    rec = recommender(store)
    other = sqlite3.connect(store.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with caplog.at_level(logging.WARNING):
        answers = [rec.recommend(f"u{user}", 5) for user in range(3)]
    assert list(store.exposures()) == []
    assert ["busy" in record.getMessage() for record in caplog.records] == [True]
    other.execute("ROLLBACK")
    other.close()
    rec.close()
    kept = {exposure.request_id: list(exposure.item_ids) for exposure in store.exposures()}
    assert kept == {answer.request_id: [line.item.id for line in answer.items] for answer in answers}
