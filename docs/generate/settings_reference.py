"""docs/reference/settings.md: every key of `genrec.settings`, by section."""

from __future__ import annotations

import inspect
import json
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from source_reader import cell, field_docs

from genrec.settings import Settings

INTRODUCTION = """\
<!-- Written by `make docs` from genrec.settings: edit the docstrings there. -->
# Settings

Settings are read from `genrec.toml` in the workspace, then from the environment, then from flags; the later goes
before the earlier. A key that does not exist is an error, and all errors are reported at once.

    [model]
    name = "smollm2-135m"

is the same as `GENREC_MODEL__NAME=smollm2-135m`: prefix, section, two underscores, key. Lists and tables in the
environment are JSON: `GENREC_RETRIEVAL__RETRIEVERS='["covisit", "popular"]'`.
"""
NUMBERS = {"ge": "from {}", "gt": "above {}", "le": "to {}", "lt": "below {}"}
WORDS = {str: "text", int: "whole number", float: "number", bool: "`true` or `false`", Path: "path", Any: "any value"}


def page() -> str:
    """The whole page."""
    return "\n".join([INTRODUCTION, *_sections(Settings, ())])


def _sections(model: type[BaseModel], path: tuple[str, ...]) -> Iterator[str]:
    """The table of a section, then those of the sections in it."""
    nested = {name: each for name, field in model.model_fields.items() if (each := _model_in(field.annotation))}
    if path:
        yield f"## `[{'.'.join(path)}]`\n"
        yield f"{inspect.getdoc(model) or ''}\n"
        plain = {name: field for name, field in model.model_fields.items() if name not in nested}
        if plain:
            yield "| Key | Value | Default | Environment | |\n|---|---|---|---|---|"
            yield from _rows(model, plain, path)
            yield ""
    for name, each in nested.items():
        yield from _sections(each, (*path, name))
    extra = model.__annotations__.get("__pydantic_extra__")
    if extra is not None:
        values = get_args(inspect.get_annotations(model, eval_str=True)["__pydantic_extra__"])
        yield from _sections(values[1], (*path, "NAME"))


def _rows(model: type[BaseModel], fields: Mapping[str, FieldInfo], path: tuple[str, ...]) -> Iterator[str]:
    docs = field_docs(model)
    for name, field in fields.items():
        # What has a name of its own choice cannot be said in a name of the environment.
        variable = "" if "NAME" in path else f"`GENREC_{'__'.join((*path, name)).upper()}`"
        bounds = _bounds(field.metadata)
        value = ", ".join(part for part in (_words(field.annotation), bounds) if part)
        yield f"| `{name}` | {cell(value)} | {_default(field)} | {variable} | {cell(docs.get(name))} |"


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The section that a field holds, if it holds one."""
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def _words(annotation: Any) -> str:
    """A type as people say it."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return ", ".join(part for part in (_words(inner[0]), _bounds(inner[1:])) if part)
    if origin is Literal:
        return "one of " + ", ".join(f"`{value}`" for value in inner)
    if origin in (Union, types.UnionType):
        return " or ".join(_words(part) for part in inner if part is not type(None))
    if origin in (tuple, list, frozenset, set):
        return f"list of {_words(inner[0])}"
    if origin is not None and issubclass(origin, Mapping):
        return f"table of {_words(inner[1])}"
    if hasattr(annotation, "__value__"):  # type X = ...
        return _words(annotation.__value__)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return f"table like `{annotation.__name__}`"
    return WORDS.get(annotation, getattr(annotation, "__name__", str(annotation)))


def _bounds(metadata: Any) -> str:
    """Limits of a number or of a length: 'from 0 to 1'."""
    said = [words.format(f"{limit:g}") for key, words in NUMBERS.items() for limit in _limits(metadata, key)]
    said += [f"at least {least}" for least in _limits(metadata, "min_length")]
    return " ".join(said)


def _limits(metadata: Any, key: str) -> list[Any]:
    return [limit for part in metadata if (limit := getattr(part, key, None)) is not None]


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    if value is PydanticUndefined:
        return "required"
    if value is None:
        return "not set"
    if isinstance(value, tuple | frozenset | set):
        value = list(value)
    if isinstance(value, Mapping):
        return f"`{{{', '.join(f'{key} = {_toml(each)}' for key, each in value.items())}}}`"
    return f"`{_toml(value)}`"


def _toml(value: Any) -> str:
    return json.dumps(value.model_dump() if isinstance(value, BaseModel) else value, default=str, ensure_ascii=False)
