"""docs/reference/http.md: the routes of a running server and the bodies that they take."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from pydantic import BaseModel
from source_reader import cell, classes, field_docs

from genrec.serving import schemas
from genrec.serving.plugin import GenrecEndpoints
from genrec.serving.scopes import scope_of

INTRODUCTION = """\
<!-- Written by `make docs` from genrec.serving: edit the docstrings there. -->
# HTTP

`genrec serve` answers these routes. With a key (`GENREC_SERVING__API_KEY`) each needs `Authorization: Bearer KEY`,
except those whose scope is `public`: these show no data. An error is
`{"error": {"message", "type", "param", "code"}}`, as OpenAI clients know it: 400 for a body that does not validate,
401 without the key, 404 for an id or a route that does not exist.
Paths that are not here are closed, those that vLLM adds by itself too, unless `--open-engine-routes` is given.
"""
CHAT = "/v1/chat/completions"
LIMITS = {"": ("minimum", "maximum"), " characters": ("minLength", "maxLength"), " entries": ("minItems", "maxItems")}


def page() -> str:
    """The whole page."""
    lines = [INTRODUCTION, "## Routes\n", "| Route | Scope | |\n|---|---|---|"]
    lines += [f"| `{method} {route.path}` | {_scope(route)} | {cell(_said(route))} |" for method, route in _routes()]
    lines += ["", "## Bodies\n", "Fields that are not here are errors.\n"]
    for name, body in inspect.getmembers(schemas, inspect.isclass):
        if body.__module__ == schemas.__name__ and issubclass(body, BaseModel) and not name.startswith("_"):
            lines += _body(name, body)
    return "\n".join(lines)


def _routes() -> list[tuple[str, APIRoute]]:
    """The routes of genrec, as they are attached to vLLM's server, by path."""
    app = FastAPI(openapi_url=None)
    app.post(CHAT)(_engine_chat)  # genrec's route of that path goes before the engine's
    GenrecEndpoints().attach_router(app)
    own = [route for route in app.routes if isinstance(route, APIRoute) and route.endpoint is not _engine_chat]
    return sorted(
        ((method, route) for route in own for method in sorted(route.methods)),
        key=lambda each: (each[1].path, each[0]),
    )


async def _engine_chat() -> None:
    """Stands for the route of the engine."""


def _said(route: APIRoute) -> str:
    """The first paragraph of a route's docstring, or of its module's where it has none."""
    said = inspect.getdoc(route.endpoint) or inspect.getdoc(sys.modules[route.endpoint.__module__]) or ""
    return said.split("\n\n")[0]


def _scope(route: APIRoute) -> str:
    """The declared scope; a route without one is closed."""
    declared = scope_of(route)
    return "closed" if declared is None else f"`{declared.name}`"


def _body(name: str, body: type[BaseModel]) -> Iterator[str]:
    docs = field_docs(body)
    schema = body.model_json_schema()
    required = schema.get("required", [])
    yield f"### {name}\n"
    yield f"{classes()[f'{schemas.__name__}.{name}'].doc}\n"
    yield "| Field | Type | Default | |\n|---|---|---|---|"
    for key, field in schema["properties"].items():
        default = "required" if key in required else _default(field.get("default"))
        yield f"| `{key}` | {cell(_type(field))} | {default} | {cell(docs.get(key))} |"
    yield ""


def _default(value: Any) -> str:
    return "" if value is None else f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _type(field: dict[str, Any]) -> str:
    """A JSON schema in words."""
    if "$ref" in field:
        return f"`{field['$ref'].rpartition('/')[2]}`"
    if "anyOf" in field:
        return " or ".join(_type(part) for part in field["anyOf"] if part.get("type") != "null")
    if "enum" in field or "const" in field:
        return ", ".join(f"`{value}`" for value in field.get("enum", [field.get("const")]))
    said = {"array": "list", "object": "object", "integer": "whole number"}.get(field.get("type", ""), "")
    said = said or field.get("type", "any value")
    if "items" in field:
        said += f" of {_type(field['items'])}"
    if isinstance(field.get("additionalProperties"), dict):
        said += f" of {_type(field['additionalProperties'])}"
    return ", ".join([said, *_limits(field)])


def _limits(field: dict[str, Any]) -> Iterator[str]:
    """'1 to 512 characters'."""
    for unit, (least, most) in LIMITS.items():
        if least in field and most in field:
            yield f"{field[least]:g} to {field[most]:g}{unit}"
        elif least in field:
            yield f"at least {field[least]:g}{unit}"
        elif most in field:
            yield f"up to {field[most]:g}{unit}"
