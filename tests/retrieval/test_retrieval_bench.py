"""The benchmark runs as its first lines say."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from genrec.artifacts.workspace import Workspace
from genrec.data.sqlite.store import SqliteStore
from genrec.domain import Event, Item

BENCH = Path(__file__).parents[2] / "eval" / "bench_retrieval.py"


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    place = Workspace.create(tmp_path)
    place.settings_file.write_text('[encoder]\nname = "hashing"\n')
    store = SqliteStore(place.database, create=True)
    store.put_items([Item(f"i{n}", f"title {n}") for n in range(20)])
    store.append([Event(f"u{n % 5}", f"i{n * 7 % 20}", 1e9 + n) for n in range(60)])
    store.close()
    return tmp_path


def run(*arguments: str) -> dict[str, object]:
    command = [sys.executable, str(BENCH), "--scale", "3", "--queries", "10", "--json", "-", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    figures: dict[str, object] = json.loads(done.stdout)
    return figures


def test_measures_a_synthetic_log() -> None:
    figures = run("--users", "30", "--items", "40", "--events", "300")
    once, often = figures["runs"]
    assert (once["events"], once["users"], often["events"], often["users"]) == (300, 30, 900, 90)
    assert figures["ratios"]["events"] == 3
    assert all(row["fit_s"] > 0 and row["p99_ms"] >= row["p50_ms"] > 0 for row in (once, often))


def test_measures_a_workspace(workspace: Path) -> None:
    once, often = run("--workspace", str(workspace), "--retrievers", "popular,item_knn")["runs"]
    assert (once["events"], once["items"], often["events"]) == (60, 20, 180)
