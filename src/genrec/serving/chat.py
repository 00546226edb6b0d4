"""The recommender as a chat model: `genrec`, `genrec@<adapter>`, `genrec/<template>` and `genrec/<template>@<adapter>`.

The last user message is the query, in words; `user` names the user; everything else that `/v1/recommendations` takes
may stand in the field `genrec` (`extra_body` of the official client). The answer's text is for people, its field
`genrec` is the full answer. With `explain` in the field the text gives reasons; with `explain: "model"` the language
model writes it, and it comes whole, as it is checked first. Calls for other models go to the engine's own route
untouched.
"""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.types import Receive, Scope, Send

from genrec.domain import Recommendation, RecommendedItem
from genrec.errors import GenrecError, NotFoundError
from genrec.experiments.router import Route
from genrec.explanation.explain import Explained, converse, explained
from genrec.pipeline.request import new_request_id
from genrec.serving import metrics
from genrec.serving.errors import BadRequestError, error_of, invalid, parse_object, read_bytes
from genrec.serving.routes import REQUEST_ID, engine_models, live, until_disconnect
from genrec.serving.schemas import RecommendationBody, recommendation_answer
from genrec.serving.scopes import scope

PATH = "/v1/chat/completions"


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore")
    type: str
    text: str = ""


class _Message(BaseModel):
    model_config = ConfigDict(extra="ignore")
    role: str
    content: str | list[_Part] | None = None

    def text(self) -> str:
        if isinstance(self.content, list):
            return "\n".join(part.text for part in self.content if part.type == "text")
        return self.content or ""


class _StreamOptions(BaseModel):
    model_config = ConfigDict(extra="ignore")
    include_usage: bool = False


class ChatBody(BaseModel):
    """What is read of a chat request. Sampling parameters are of no use here and ignored."""

    model_config = ConfigDict(extra="ignore")
    model: str
    messages: Annotated[list[_Message], Field(min_length=1, max_length=1000)]
    user: Annotated[str, Field(min_length=1, max_length=512)] | None = None
    stream: bool = False
    stream_options: _StreamOptions | None = None
    n: int = Field(default=1, ge=1, le=1)
    genrec: RecommendationBody = RecommendationBody()

    def recommendation_body(self) -> RecommendationBody:
        """As for `/v1/recommendations`."""
        words = next((message.text() for message in reversed(self.messages) if message.role == "user"), "")
        update = {"query": self.genrec.query or words[:4000] or None, "user_id": self.genrec.user_id or self.user}
        return self.genrec.model_copy(update=update)

    def template_and_adapter(self) -> tuple[str | None, str | None]:
        """What the model's name asks for; the adapter may stand in the field `genrec` instead."""
        name, at, adapter = self.model.partition("@")
        if at and self.genrec.adapter not in (None, adapter):
            raise BadRequestError("the model's name and the field name two adapters", param="genrec.adapter")
        return name.partition("/")[2] or None, adapter if at else self.genrec.adapter


def attach(app: FastAPI) -> None:
    """Puts genrec's chat route in front of the engine's."""
    engine_route = next(route for route in app.routes if isinstance(route, APIRoute) and route.path == PATH)
    router = APIRouter()

    @router.post(PATH)
    @scope("chat")
    async def chat(request: Request) -> Response:
        raw = await read_bytes(request)
        data = parse_object(raw)
        if not _is_genrec(data.get("model")):
            refuse_dangerous(data)
            await _check_model(request, data.get("model"))
            return _Forward(engine_route, raw)
        try:
            body = ChatBody.model_validate(data)
        except ValidationError as error:
            raise invalid(error) from None
        store = (await live(request).recommender()).store
        asked = await asyncio.to_thread(body.recommendation_body().to_request, store)
        route = await live(request).route(asked, *body.template_and_adapter())
        if body.stream:
            request_id = new_request_id()
            parts = route.recommender.stream(route.request, request_id=request_id)
            # Errors of the request come here, while there is still a status line.
            first = await until_disconnect(request, _first(parts))
            events = _stream(_chained(first, parts), body, route)
            return StreamingResponse(events, media_type="text/event-stream", headers={REQUEST_ID: request_id})
        work = explained(*route, body.genrec.explain, converse)
        with metrics.in_flight():
            answer, said = await until_disconnect(request, work)
        metrics.observe(answer)
        return JSONResponse(_completion(answer, said, body.model), headers={REQUEST_ID: answer.request_id})

    app.include_router(router)


def refuse_dangerous(data: dict[str, Any]) -> None:
    """BadRequestError for what would let a caller hold the engine: compiling a grammar has no time limit in it."""
    outputs = data.get("structured_outputs")
    if (isinstance(outputs, dict) and outputs.get("grammar") is not None) or data.get("guided_grammar") is not None:
        raise BadRequestError("grammars are not accepted", "use a JSON schema or a choice", param="structured_outputs")


def _is_genrec(model: object) -> bool:
    return isinstance(model, str) and (model.partition("@")[0] == "genrec" or model.startswith("genrec/"))


async def _check_model(request: Request, name: object) -> None:
    """NotFoundError with the names there are, where neither genrec nor the engine has a model of this name."""
    if not isinstance(name, str) or not name:
        return  # the engine takes its own model, or says what is wrong
    known = [listed["id"] for listed in (await engine_models(request))["data"]]
    if name not in known:
        own = ["genrec", *(f"genrec@{adapter}" for adapter in live(request).models.names), "genrec/TEMPLATE"]
        hint = f"there are: {', '.join([*own, *known])}; GET /v1/models lists them with all templates"
        raise NotFoundError(f"there is no model {name!r}", hint)


class _Forward(Response):
    """Hands a request whose body is read already to another route."""

    def __init__(self, route: APIRoute, body: bytes) -> None:
        super().__init__()
        self._route, self._body = route, body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        replayed = False

        async def replay() -> Any:
            nonlocal replayed
            if not replayed:
                replayed = True
                return {"type": "http.request", "body": self._body, "more_body": False}
            return await receive()

        await self._route.handle(scope, replay, send)


def answer_text(answer: Recommendation, said: Explained | None = None) -> str:
    """The answer for people."""
    if said is not None and said.text is not None:
        return said.text
    reasons = {} if said is None else said.reasons
    lines = (_line(item, reasons.get(item.item.id, ())) for item in answer.items)
    return "".join(lines) or f"{(answer.nothing_left or 'nothing to recommend').capitalize()}."


def _line(item: RecommendedItem, reasons: Sequence[str] = ()) -> str:
    click = f" (chance that it is next {item.p_click:.1%})"
    why = f": {'; '.join(reasons)}" if reasons else ""
    return f"{item.rank}. {item.item.title}{click}{why}\n"


def _usage(answer: Recommendation) -> dict[str, int]:
    usage = answer.provenance.usage
    return {
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.generated,
        "total_tokens": usage.prompt + usage.generated,
    }


def _completion(answer: Recommendation, said: Explained | None, model: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": answer_text(answer, said)}
    return {
        "id": answer.request_id,
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}],
        "usage": _usage(answer),
        "genrec": recommendation_answer(answer, said),
    }


Part = RecommendedItem | Recommendation


async def _first(parts: AsyncGenerator[Part, None]) -> Part:
    return await anext(parts)


async def _chained(first: Part, rest: AsyncGenerator[Part, None]) -> AsyncGenerator[Part, None]:
    async with aclosing(rest):  # frees the engine when the caller goes away
        yield first
        async for part in rest:
            yield part


async def _stream(parts: AsyncGenerator[Part, None], body: ChatBody, route: Route) -> AsyncIterator[str]:
    """Server-sent events: one chunk for each item as soon as it is fixed; the last chunk carries the full answer.

    With an explanation the chunks come when all of it is known.
    """
    how = body.genrec.explain
    name, created = f"chatcmpl-{uuid.uuid4().hex}", int(time.time())
    head = {"id": name, "object": "chat.completion.chunk", "created": created, "model": body.model}

    def chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> str:
        choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
        return _event({**head, "choices": [choice], **more})

    yield chunk({"role": "assistant", "content": ""})
    try:
        async with aclosing(parts):
            async for part in parts:
                if isinstance(part, RecommendedItem):
                    if how is None:
                        yield chunk({"content": _line(part)})
                else:
                    metrics.observe(part)
                    said = None if how is None else await converse(*route, part, how)
                    for line in answer_text(part, said).splitlines(keepends=True) if said else ():
                        yield chunk({"content": line})
                    yield chunk({}, "stop", genrec=recommendation_answer(part, said))
                    if body.stream_options and body.stream_options.include_usage:
                        yield _event({**head, "choices": [], "usage": _usage(part)})
    except GenrecError as error:
        # The status line is gone; the error stands in the stream, where OpenAI clients look for it.
        yield f"data: {bytes(error_of(error).body).decode()}\n\n"
    yield "data: [DONE]\n\n"


def _event(data: dict[str, Any]) -> str:
    return f"data: {json.dumps(data, ensure_ascii=False)}\n\n"
