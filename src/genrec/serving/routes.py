"""genrec's own routes: recommendations, events, histories, items, health."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse
from pydantic import ValidationError

from genrec.errors import GenrecError
from genrec.explanation.explain import explained
from genrec.explanation.why import why
from genrec.serving import metrics
from genrec.serving.errors import BadRequestError, error_response, invalid, parse_object, read_body, read_bytes
from genrec.serving.schemas import (
    EventBody,
    EventsBody,
    RecommendationBody,
    history_answer,
    item_answer,
    recommendation_answer,
    why_answer,
)
from genrec.serving.scopes import scope
from genrec.serving.state import Live

T = TypeVar("T")

REQUEST_ID = "X-Request-Id"
"""The header of answers that names what clicks name: the `request_id` of their body."""

router = APIRouter()


def live(request: Request) -> Live:
    """The recommender of this server process."""
    return request.app.state.genrec  # type: ignore[no-any-return]


@router.post("/v1/recommendations")
@scope("recommend")
async def recommendations(request: Request) -> JSONResponse:
    """Items for a user, best first, with scores, P(click), agreement, what was dropped and why, and provenance."""
    body = await read_body(request, RecommendationBody)
    asked = await asyncio.to_thread(body.to_request, (await live(request).recommender()).store)
    route = await live(request).route(asked, adapter=body.adapter)
    with metrics.in_flight():
        answer, reasons = await until_disconnect(request, explained(*route, body.explain))
    metrics.observe(answer)
    return JSONResponse(recommendation_answer(answer, reasons), headers={REQUEST_ID: answer.request_id})


@router.get("/v1/recommendations/{request_id}")
@scope("read")
async def recommendation(request: Request, request_id: str, item: str | None = None) -> JSONResponse:
    """How a logged list came about, or why `item` was in it or not: for each stage, and in words."""
    recommender = await live(request).recommender()
    found = await asyncio.to_thread(why, recommender.store, request_id, item)
    return JSONResponse(why_answer(found, item))


@router.post("/v1/events")
@scope("events")
async def events(request: Request) -> JSONResponse:
    """Stores one event, or {"events": [...]} all or none, durably before it answers."""
    data = parse_object(await read_bytes(request))
    try:
        bodies = EventsBody.model_validate(data).events if "events" in data else [EventBody.model_validate(data)]
    except ValidationError as error:
        raise invalid(error) from None
    recommender = await live(request).recommender()
    new = await asyncio.to_thread(recommender.store.append, [body.to_event() for body in bodies])
    metrics.events(new)
    return JSONResponse({"accepted": len(bodies), "new": new})


@router.get("/v1/users/{user_id:path}/history")
@scope("read")
async def history(request: Request, user_id: str, limit: str = Query(default="50")) -> JSONResponse:
    """The newest events of a user, oldest first. An unknown user has an empty history."""
    if len(limit) > 4 or not limit.isdecimal() or not 1 <= int(limit) <= 1000:
        raise BadRequestError("limit must be a whole number from 1 to 1000", param="limit")
    recommender = await live(request).recommender()
    return JSONResponse(history_answer(await asyncio.to_thread(recommender.store.history, user_id, int(limit))))


@router.get("/v1/items/{item_id:path}")
@scope("read")
async def item(request: Request, item_id: str) -> JSONResponse:
    """An item of the catalogue."""
    recommender = await live(request).recommender()
    return JSONResponse(item_answer(await asyncio.to_thread(recommender.store.item, item_id)))


@router.get("/health")
@scope("public")
async def health(request: Request) -> JSONResponse:
    """200 while the engine lives and the workspace can be read; 503 otherwise."""
    try:
        await request.app.state.engine_client.check_health()
        recommender = await live(request).recommender()
    except GenrecError as error:
        return error_response(error.message, 503)
    except Exception:
        # Whatever the engine raises when it is dead: the caller needs to know only that it is.
        return error_response("the engine is down", 503)
    return JSONResponse({"status": "ok", "workspace_version": recommender.version, "time": time.time()})


@router.get("/v1/models")
@scope("read")
async def models(request: Request) -> JSONResponse:
    """`genrec`, `genrec@<adapter>`, `genrec/<template>` for every ranking template, and the base model."""
    listed = await engine_models(request)
    adapters = [f"genrec@{name}" for name in live(request).models.names]
    names = ["genrec", *adapters, *(f"genrec/{name}" for name in live(request).template_ids())]
    created = int(time.time())
    own = [{"id": name, "object": "model", "created": created, "owned_by": "genrec"} for name in names]
    return JSONResponse({**listed, "data": own + listed["data"]})


async def engine_models(request: Request) -> dict[str, Any]:
    """What vLLM itself lists as models."""
    listed = await request.app.state.openai_serving_models.show_available_models()
    return listed.model_dump()  # type: ignore[no-any-return]


async def until_disconnect(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Awaits `work`, and cancels it when the caller goes away, so that the engine is free for others."""
    task = asyncio.create_task(work)
    gone = asyncio.create_task(_disconnected(request.receive))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise BadRequestError("the caller closed the connection", status=499)
        return task.result()
    finally:
        task.cancel()
        gone.cancel()


async def _disconnected(receive: Callable[[], Awaitable[Any]]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
