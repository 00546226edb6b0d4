"""The page behind a real server on a real port, on a small catalogue and a model that is scripted."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import httpx
import uvicorn
from fastapi import FastAPI

from genrec.data.sqlite.store import SqliteStore
from genrec.domain import Event, Item
from genrec.llm.scripted import ScriptedModel
from genrec.pipeline.recommender import Recommender
from genrec.prompting.library import TemplateLibrary
from genrec.prompting.tokenizer import load_tokenizer
from genrec.ranking.loading import load_ranker
from genrec.retrieval.tuning import fit_hybrid
from genrec.serving.playground.preview import preview_app
from genrec.serving.playground.served import ServedPlaygroundService
from genrec.serving.playground.service import Engine, PlaygroundService
from genrec.serving.state import Live
from genrec.settings import Settings
from scoring_factories import retrieval_scorer

N_ITEMS, N_USERS = 40, 30
KEY = "a-key"
LISTWISE, POINTWISE = ({"id": f"rank/{name}"} for name in ("listwise", "pointwise"))
USER = {"user_id": "u3"}
LOOPS = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
OWN = ("Title 3", "Title 4", "Title 5", "Title 6", "Title 7", "Title 8", "Title 9", "Title 10", "Title 11", "Title 12")


def make_store(folder: Path) -> SqliteStore:
    """User n does the titles n, n + 1, ... of 40."""
    store = SqliteStore(folder / "genrec.db", create=True)
    store.put_items(Item(f"i{n}", f"Title {n}", {"genres": (f"g{n % 3}",), "year": 1960.0 + n}) for n in range(N_ITEMS))
    store.append(
        [
            Event(f"u{user}", f"i{(user + step) % N_ITEMS}", 100.0 * step + user, "watch", float(1 + step % 5))
            for user in range(N_USERS)
            for step in range(10)
        ]
    )
    return store


class OneRecommender:
    """Stands in for `genrec.serving.state.Live`: one recommender, whose language model is scripted."""

    def __init__(self, store: SqliteStore, tokenizer: Path, settings: Settings) -> None:
        self.model = ScriptedModel(block=16)
        loaded = load_tokenizer(tokenizer)
        log, items = store.interactions(), list(store.all_items())
        self._recommender = Recommender(
            store=store,
            retriever=fit_hybrid(log, items, settings=settings, tune=False),
            ranker=load_ranker(settings.ranking, self.model, loaded, TemplateLibrary()),
            scorer=retrieval_scorer(store, settings),
            settings=settings,
            version="v1",
            model=self.model,
        )

        self.models = self

    async def recommender(self) -> Recommender:
        return self._recommender

    async def get(self) -> ScriptedModel:
        """As `ServedModels.get`."""
        return self.model


def settings_of(**sections: dict[str, Any]) -> Settings:
    retrieval = {"retrievers": ("covisit", "popular"), "candidates": 8, "pool": 20}
    return Settings.load(None, {"retrieval": retrieval, "serving": {"allow_template_preview": True}, **sections})


def served_service(store: SqliteStore, tokenizer: Path, settings: Settings) -> ServedPlaygroundService:
    live = OneRecommender(store, tokenizer, settings)
    return ServedPlaygroundService(
        cast(Live, live), Engine("scripted", tokenizer, 16, 4096, settings.ranking.orders), settings
    )


def app_of(service: PlaygroundService, settings: Settings) -> FastAPI:
    return preview_app(service, settings.serving)


@contextmanager
def running(app: FastAPI) -> Iterator[str]:
    """The address of the app on a free port, until the block ends."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


def client(base: str) -> httpx.Client:
    return httpx.Client(base_url=f"{base}/playground", timeout=120)


def source_of(http: httpx.Client, template: dict[str, str]) -> str:
    return str(http.get(f"/api/templates/{template['id']}").json()["source"])


def post(http: httpx.Client, kind: str, template: dict[str, str], **body: Any) -> dict[str, Any]:
    response = http.post(f"/api/{kind}", json={"template": template, **body})
    assert response.status_code == 200, response.text
    return dict(response.json())
