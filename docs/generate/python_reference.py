"""docs/reference/python.md: the recommender, the records that go in and out, the errors, and the interfaces."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from source_reader import PACKAGE, CallDoc, ClassDoc, cell, classes

import genrec

INTRODUCTION = """\
<!-- Written by `make docs` from the code: edit the docstrings there. -->
# Python

    from genrec import Recommender

    recommender = Recommender.open("workspace")
    answer = recommender.recommend(user_id="42", k=10)

What is on this page is public, and the [changelog](../../CHANGELOG.md) says when it breaks.
"""
RECORDS = {"genrec.domain"}
ERRORS = {"genrec.errors"}
REQUEST = "RecommendationRequest"
SEAMS = {"base", "store"}
"""Modules that hold the interface of their folder."""
TEST = "test_"
HANDED_IN = {"ItemFilters"}
"""Protocols in them that say what another folder hands in."""


def page() -> str:
    """The whole page."""
    known = classes()
    exported = {name: getattr(genrec, name) for name in genrec.__all__ if not name.startswith("_")}
    shown_as = {f"{found.__module__}.{found.__qualname__}": f"genrec.{name}" for name, found in exported.items()}
    request = {dotted for dotted, each in known.items() if each.name == REQUEST}
    interfaces = {dotted for dotted, each in known.items() if _is_interface(each)}
    parts = [
        ("The recommender", "", set(shown_as) | request),
        ("Records", "What goes in and out: frozen dataclasses of `genrec.domain`.", _of(RECORDS)),
        ("Errors", "All that a user can cause: each has `message` and `hint`.", _of(ERRORS)),
        (
            "Interfaces",
            "An alternative is one class that satisfies its interface: a module of the folder that holds its kind, or\n"
            "a class of your own that is named by its dotted path.",
            interfaces,
        ),
        ("Contract tests", "Inherit them to test an alternative of your own.", _under("genrec.testing")),
    ]
    lines = [INTRODUCTION]
    for title, said, names in parts:
        if names:
            lines += [f"## {title}\n", *([f"{said}\n"] if said else [])]
            for dotted in (dotted for dotted in known if dotted in names):
                lines += _class(known[dotted], shown_as.get(dotted, dotted))
    return "\n".join(lines)


def _is_interface(found: ClassDoc) -> bool:
    """Whether it is the Protocol of a folder of alternatives; other Protocols are details of where they stand."""
    if found.name in HANDED_IN:
        return False
    folder = (PACKAGE.parent / found.module.replace(".", "/")).is_dir()
    stands_for_folder = folder or found.module.rpartition(".")[2] in SEAMS
    return stands_for_folder and any(base.split("[")[0] == "Protocol" for base in found.bases)


def _of(modules: Iterable[str]) -> set[str]:
    return {dotted for dotted, each in classes().items() if each.module in modules}


def _under(package: str) -> set[str]:
    return {dotted for dotted, each in classes().items() if f"{each.module}.".startswith(f"{package}.")}


def _class(found: ClassDoc, dotted: str) -> Iterator[str]:
    shown = [base for base in found.bases if base not in ("Protocol", "Exception", "GenrecError")]
    yield f"### {dotted.rpartition('.')[2]}\n"
    yield f"`{dotted}`{f', a {shown[0]}' if shown else ''}\n"
    if found.doc:
        yield f"{found.doc}\n"
    if found.fields:
        yield "| Field | Type | Default | |\n|---|---|---|---|"
        for field in found.fields:
            default = "" if field.default is None else f"`{cell(field.default)}`"
            yield f"| `{field.name}` | `{cell(field.annotation)}` | {default} | {cell(field.doc)} |"
        yield ""
    for method in found.methods:
        if not method.name.startswith(TEST):
            yield from _method(method)
    promises = [
        method.name.removeprefix(TEST).replace("_", " ") for method in found.methods if method.name.startswith(TEST)
    ]
    if promises:
        yield "\n".join(["Promises:\n", *(f"- {promise}" for promise in promises), ""])


def _method(method: CallDoc) -> Iterator[str]:
    yield f"```python\n{method.signature}\n```\n"
    if method.doc:
        yield f"{method.doc}\n"
