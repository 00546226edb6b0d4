"""A caller of a chat stream who leaves before there is anything to send."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

from fastapi import FastAPI

from genrec.errors import GenrecError, ModelError
from genrec.experiments.router import Route
from genrec.serving import chat
from genrec.serving.errors import on_genrec_error


class Recommender:
    """Its stream begins after `seconds`, and fails then if it is to."""

    store = None

    def __init__(self, seconds: float, error: GenrecError | None = None) -> None:
        self.seconds, self.error, self.stopped = seconds, error, asyncio.Event()

    async def stream(self, _: Any, **__: Any) -> AsyncIterator[Any]:
        try:
            await asyncio.sleep(self.seconds)
        except asyncio.CancelledError:
            self.stopped.set()
            raise
        if self.error:
            raise self.error
        yield None


async def called(recommender: Recommender, *, leaves: bool) -> int:
    """The status that a caller gets, who leaves right after the request or waits."""
    app = FastAPI()
    app.add_api_route(chat.PATH, lambda: None, methods=["POST"])  # stands for the engine's
    chat.attach(app)
    app.router.routes.reverse()
    app.add_exception_handler(GenrecError, on_genrec_error)

    async def given(*_: Any) -> Recommender:
        return recommender

    async def route(request: Any, *_: Any) -> Route:
        return Route(recommender, request)  # type: ignore[arg-type]

    app.state.genrec = SimpleNamespace(recommender=given, route=route)
    body = {"model": "genrec", "user": "u", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
    messages = [{"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}]
    statuses = []

    async def receive() -> Any:
        if messages:
            return messages.pop()
        if not leaves:
            await asyncio.Event().wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    headers = [(b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": chat.PATH, "headers": headers, "query_string": b""}
    await app({**scope, "raw_path": chat.PATH.encode(), "http_version": "1.1", "scheme": "http"}, receive, send)
    return int(statuses[0])


def test_stops_the_model() -> None:
    async def leave() -> tuple[int, bool]:
        recommender = Recommender(5.0)
        status = await called(recommender, leaves=True)
        await asyncio.sleep(0)
        return status, recommender.stopped.is_set()

    assert asyncio.run(leave()) == (499, True)


def test_who_stays_gets_errors_with_their_status() -> None:
    async def stay() -> int:
        return await called(Recommender(0.0, ModelError("the engine is down")), leaves=False)

    assert asyncio.run(stay()) >= 500
