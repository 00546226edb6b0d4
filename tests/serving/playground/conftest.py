"""Servers of the playground: with a model, with a key and no flag, without an engine, and one in a hurry."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playground_factories import KEY, app_of, client, make_store, running, served_service, settings_of

from genrec.data.sqlite.store import SqliteStore
from genrec.serving.playground.service import Engine, PlaygroundService


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> SqliteStore:
    return make_store(tmp_path_factory.mktemp("playground"))


@pytest.fixture(scope="module")
def api(store: SqliteStore, tiny_tokenizer_folder: Path) -> Iterator[httpx.Client]:
    """A server with a model that takes templates."""
    settings = settings_of()
    with (
        running(app_of(served_service(store, tiny_tokenizer_folder, settings), settings)) as base,
        client(base) as http,
    ):
        yield http


@pytest.fixture(scope="module")
def locked(store: SqliteStore, tiny_tokenizer_folder: Path) -> Iterator[httpx.Client]:
    """A server that needs a key and takes no templates."""
    settings = settings_of(serving={"api_key": KEY})
    with (
        running(app_of(served_service(store, tiny_tokenizer_folder, settings), settings)) as base,
        client(base) as http,
    ):
        yield http


@pytest.fixture(scope="module")
def preview_only(tiny_tokenizer_folder: Path) -> Iterator[httpx.Client]:
    """`genrec prompt playground` without a workspace."""
    service = PlaygroundService(Engine("tiny", tiny_tokenizer_folder), edits=True)
    with running(app_of(service, settings_of())) as base, client(base) as http:
        yield http


@pytest.fixture(scope="module")
def impatient(store: SqliteStore, tiny_tokenizer_folder: Path) -> Iterator[httpx.Client]:
    """A server that gives a template half a second."""
    service = served_service(store, tiny_tokenizer_folder, settings_of())
    service.render_seconds = 0.5
    with running(app_of(service, settings_of())) as base, client(base) as http:
        yield http
