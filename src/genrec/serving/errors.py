"""Errors as OpenAI clients know them: {"error": {"message", "type", "param", "code"}}. Never with user data."""

from __future__ import annotations

import json
import logging
from typing import Any, TypeVar

from fastapi import Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect

from genrec.errors import DataError, GenrecError, ModelError, NotFoundError, RequestError, SettingsError, WorkspaceError

MAX_BODY_BYTES = 4 * 1024 * 1024
STATUS: dict[type[GenrecError], int] = {
    NotFoundError: 404,
    DataError: 400,
    RequestError: 400,
    SettingsError: 400,
    ModelError: 503,
    WorkspaceError: 503,
}

Body = TypeVar("Body", bound=BaseModel)


class BadRequestError(GenrecError):
    """A request that cannot be answered as it is. `param` names the field, `status` is the HTTP status."""

    def __init__(self, message: str, hint: str = "", *, param: str | None = None, status: int = 400) -> None:
        super().__init__(message, hint)
        self.param, self.status = param, status


def error_response(message: str, status: int, param: str | None = None) -> JSONResponse:
    """An error answer."""
    kind = {401: "authentication_error", 404: "not_found_error"}.get(
        status, "invalid_request_error" if status < 500 else "server_error"
    )
    return JSONResponse(
        {"error": {"message": message, "type": kind, "param": param, "code": status}}, status_code=status
    )


async def on_genrec_error(_: Request, error: Exception) -> JSONResponse:
    """Handler for every expected error."""
    if isinstance(error, BadRequestError):
        return error_response(_text(error), error.status, error.param)
    assert isinstance(error, GenrecError)  # noqa: S101  (registered for this class only)
    return error_of(error)


def error_of(error: GenrecError) -> JSONResponse:
    """The answer to an expected error. What is wrong with the workspace concerns the operator: see the log."""
    if isinstance(error, WorkspaceError):
        logging.getLogger("genrec").error("%s", error)
        return error_response("the catalogue cannot be used at the moment; try again", 503)
    status = next((status for kind, status in STATUS.items() if isinstance(error, kind)), 500)
    return error_response(_text(error), status)


async def read_body(request: Request, model: type[Body]) -> Body:
    """The validated body. BadRequestError says which field is wrong and how, without its value."""
    try:
        return model.model_validate_json(await read_bytes(request))
    except ValidationError as error:
        raise invalid(error) from None


def parse_object(raw: bytes) -> dict[str, Any]:
    """The body as a JSON object."""
    try:
        data = json.loads(raw)
    except (ValueError, RecursionError):
        raise BadRequestError("the body is not valid JSON") from None
    if not isinstance(data, dict):
        raise BadRequestError("the body must be a JSON object")
    return data


async def read_bytes(request: Request) -> bytes:
    """The raw body; BadRequestError (413) as soon as it is too long."""
    chunks, size = [], 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size > MAX_BODY_BYTES:
                raise BadRequestError(f"the body is longer than {MAX_BODY_BYTES} bytes", "send less", status=413)
            chunks.append(chunk)
    except ClientDisconnect:
        raise BadRequestError("the caller closed the connection", status=499) from None
    return b"".join(chunks)


def invalid(error: ValidationError) -> BadRequestError:
    """What pydantic found, without the values it found it in."""
    problems = [
        (".".join(str(part) for part in problem["loc"]), problem["msg"])
        for problem in error.errors(include_input=False, include_url=False, include_context=False)
    ]
    text = "; ".join(f"{place}: {message}" if place else message for place, message in problems)
    return BadRequestError(text, param=problems[0][0] or None)


def _text(error: GenrecError) -> str:
    return f"{error.message} ({error.hint})" if error.hint else error.message
