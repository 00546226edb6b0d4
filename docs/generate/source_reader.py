"""Reads classes and functions from source text: signatures, fields and docstrings, without importing anything.

A field's docstring is the string on the line below it, which Python itself does not keep.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import genrec

PACKAGE = Path(genrec.__file__).parent


@dataclass(frozen=True)
class FieldDoc:
    """A field of a class: its annotation and default as they are written, and its docstring."""

    name: str
    annotation: str
    default: str | None
    doc: str


@dataclass(frozen=True)
class CallDoc:
    """A function or method: everything from `def` to the colon, and its docstring."""

    name: str
    signature: str
    doc: str


@dataclass(frozen=True)
class ClassDoc:
    """A public class."""

    module: str
    name: str
    bases: tuple[str, ...]
    doc: str
    fields: tuple[FieldDoc, ...] = ()
    methods: tuple[CallDoc, ...] = ()
    decorators: tuple[str, ...] = field(default=(), compare=False)


@cache
def classes() -> Mapping[str, ClassDoc]:
    """Every public class of the package by its dotted name, in the order of files and lines."""
    return {f"{found.module}.{found.name}": found for path in sorted(PACKAGE.rglob("*.py")) for found in _of_file(path)}


def field_docs(cls: type) -> dict[str, str]:
    """Docstrings of the fields of a class and of the classes that it inherits from, by name."""
    found: dict[str, str] = {}
    for owner in reversed(cls.__mro__):
        if owner.__module__.startswith("genrec"):
            known = classes().get(f"{owner.__module__}.{owner.__name__}")
            fields = known.fields if known else ()
            found |= {each.name: each.doc for each in fields if each.doc or each.name not in found}
    return found


def plain(text: str | None) -> str:
    """A docstring on one line."""
    return " ".join((text or "").split())


def cell(text: str | None) -> str:
    """A docstring as a cell of a Markdown table."""
    return plain(text).replace("|", "\\|")


def _of_file(path: Path) -> Iterator[ClassDoc]:
    module = ".".join(("genrec", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield ClassDoc(
                module=module,
                name=node.name,
                bases=tuple(ast.unparse(base) for base in node.bases),
                doc=ast.get_docstring(node) or "",
                fields=tuple(_fields(node)),
                methods=tuple(_methods(node)),
                decorators=tuple(ast.unparse(decorator) for decorator in node.decorator_list),
            )


def _fields(node: ast.ClassDef) -> Iterator[FieldDoc]:
    for statement, below in zip(node.body, [*node.body[1:], None], strict=True):
        if not isinstance(statement, ast.AnnAssign) or not isinstance(statement.target, ast.Name):
            continue
        if statement.target.id.startswith("_"):
            continue
        doc = below.value if isinstance(below, ast.Expr) else None
        yield FieldDoc(
            name=statement.target.id,
            annotation=ast.unparse(statement.annotation),
            default=None if statement.value is None else ast.unparse(statement.value),
            doc=inspect.cleandoc(doc.value) if isinstance(doc, ast.Constant) and isinstance(doc.value, str) else "",
        )


def _methods(node: ast.ClassDef) -> Iterator[CallDoc]:
    for statement in node.body:
        if not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if statement.name.startswith("_") and statement.name != "__call__":
            continue
        overloads = {"overload", "property.setter"}
        if overloads & {ast.unparse(decorator) for decorator in statement.decorator_list}:
            continue
        yield CallDoc(statement.name, _signature(statement), ast.get_docstring(statement) or "")


def _signature(node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    """One line, or one line for each argument where one is too long."""
    known = ("property", "cached_property", "classmethod", "staticmethod")
    decorators = [f"@{name}" for each in node.decorator_list if (name := ast.unparse(each)) in known]
    head = f"{'async ' if isinstance(node, ast.AsyncFunctionDef) else ''}def {node.name}"
    tail = "" if node.returns is None else f" -> {ast.unparse(node.returns)}"
    arguments = list(_arguments(node.args))
    whole = f"{head}({', '.join(arguments)}){tail}"
    if len(whole) > 100:
        whole = f"{head}(\n{''.join(f'    {argument},{chr(10)}' for argument in arguments)}){tail}"
    return "\n".join([*decorators, whole])


def _arguments(arguments: ast.arguments) -> Iterator[str]:
    """Each argument as it is written, with the marks `/` and `*` where they stand."""
    plain_ones = [*arguments.posonlyargs, *arguments.args]
    defaults: list[ast.expr | None] = [None] * (len(plain_ones) - len(arguments.defaults))
    for place, (argument, default) in enumerate(zip(plain_ones, [*defaults, *arguments.defaults], strict=True)):
        yield _argument(argument, default)
        if place + 1 == len(arguments.posonlyargs):
            yield "/"
    if arguments.vararg is not None:
        yield f"*{_argument(arguments.vararg, None)}"
    elif arguments.kwonlyargs:
        yield "*"
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        yield _argument(argument, default)
    if arguments.kwarg is not None:
        yield f"**{_argument(arguments.kwarg, None)}"


def _argument(argument: ast.arg, default: ast.expr | None) -> str:
    named = argument.arg if argument.annotation is None else f"{argument.arg}: {ast.unparse(argument.annotation)}"
    return named if default is None else f"{named} = {ast.unparse(default)}"
