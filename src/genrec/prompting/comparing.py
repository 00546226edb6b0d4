"""What differs between two templates: their source, what their cases render to, and what that costs."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from genrec.errors import GenrecError, NotFoundError, TemplateError
from genrec.prompting.cases import Case, inputs_of, load_cases, render_inputs, snapshot_path, text_of
from genrec.prompting.library import TemplateLibrary, read_text
from genrec.prompting.rendered import Tokenizer
from genrec.prompting.template import Template

Side = tuple[TemplateLibrary, str]
"""A template by its library and id."""
Rendered = tuple[str, int]
"""Text, and tokens that an engine with a prefix cache computes."""


@dataclass(frozen=True, slots=True)
class CaseDifference:
    """One case: lines that differ, and tokens before and after; None where it does not render."""

    name: str
    lines: tuple[str, ...]
    before: int | None
    after: int | None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Difference:
    """Unified differences of the sources and of every case."""

    before: str
    after: str
    source: tuple[str, ...]
    cases: tuple[CaseDifference, ...]

    def total(self) -> tuple[int, int]:
        """Tokens of all cases that render on both sides, before and after."""
        both = [(case.before, case.after) for case in self.cases if case.before is not None and case.after is not None]
        return sum(before for before, _ in both), sum(after for _, after in both)

    def as_json(self) -> dict[str, Any]:
        """Everything, with the totals."""
        before, after = self.total()
        return {**asdict(self), "tokens": {"before": before, "after": after}}


def parse_side(text: str, library: TemplateLibrary, other: str | None = None) -> Side:
    """`id`, `id@folder`, or a folder in which the template has the id `other`; NotFoundError if it is none of them."""
    template_id, separator, folder = text.partition("@")
    if separator:
        return TemplateLibrary(Path(folder)), template_id
    if other is not None and Path(text).is_dir() and text not in library.ids():
        return TemplateLibrary(Path(text)), other
    library.path(text)
    return library, text


def shadowed_side(library: TemplateLibrary, template_id: str) -> Side:
    """The shipped template behind a local one of the same id."""
    shipped = TemplateLibrary()
    if library.path(template_id) == shipped.folders[0] / f"{template_id}.prompt":
        raise NotFoundError(
            f"{template_id} is the shipped template: there is nothing behind it",
            "name another template or a folder, or give --against-locked",
        )
    return shipped, template_id


def compare(before: Side, after: Side, tokenizer: Tokenizer, only: str | None = None) -> Difference:
    """Compares two templates on the cases of both; where a name is in both, with the inputs of the second.

    `only`: just the case of that name. NotFoundError if there is none.
    """
    old, new = before[0].get(before[1]), after[0].get(after[1])
    cases = {
        case.name: case
        for library, template in ((before[0], old), (after[0], new))
        for case in load_cases(template, library)
    }
    if only is not None and only not in cases:
        raise NotFoundError(f"neither template has a case {only!r}", f"there are {', '.join(cases)}")
    differences = [
        _case(case, lambda case: _rendered(old, case, tokenizer), lambda case: _rendered(new, case, tokenizer))
        for case in cases.values()
        if only in (None, case.name)
    ]
    return Difference(_name(old), _name(new), _source(old, new), tuple(differences))


def compare_with_reviewed(side: Side, tokenizer: Tokenizer, only: str | None = None) -> Difference:
    """Compares a template with its snapshots, which are what was accepted last. The lock keeps no source."""
    library, template_id = side
    template = library.get(template_id)
    cases = [case for case in load_cases(template, library) if only in (None, case.name)]
    if only is not None and not cases:
        raise NotFoundError(f"{template_id} has no case {only!r}", "leave out --case to see all of them")

    def reviewed(case: Case) -> Rendered:
        path = snapshot_path(template, case)
        if not path.is_file():
            raise TemplateError("there is no reviewed text", "genrec prompt lint --update writes it")
        text = read_text(path)
        return text, len(tokenizer.encode(text))

    def rendered(case: Case) -> Rendered:
        text, _ = _rendered(template, case, tokenizer)
        return text, len(tokenizer.encode(text))

    differences = tuple(_case(case, reviewed, rendered) for case in cases)
    return Difference(f"{template_id}, as reviewed", _name(template), (), differences)


def _case(case: Case, before: Callable[[Case], Rendered], after: Callable[[Case], Rendered]) -> CaseDifference:
    sides: list[Rendered | None] = []
    problems = []
    for name, render in (("before", before), ("after", after)):
        try:
            sides.append(render(case))
        except GenrecError as error:
            sides.append(None)
            problems.append(f"{name}: {error.message.splitlines()[0]}")
    old, new = sides
    lines = _unified("" if old is None else old[0], "" if new is None else new[0], case.name, case.name)
    return CaseDifference(case.name, lines, old and old[1], new and new[1], "; ".join(problems))


def _rendered(template: Template, case: Case, tokenizer: Tokenizer) -> Rendered:
    prompt = render_inputs(template, inputs_of(case), tokenizer)
    return text_of(prompt, tokenizer), len(prompt.prefix) + sum(map(len, prompt.suffixes))


def _source(old: Template, new: Template) -> tuple[str, ...]:
    lines = list(_unified(read_text(old.path), read_text(new.path), str(old.path), str(new.path)))
    for name in sorted({*old.partials, *new.partials}):
        lines += _unified(old.partials.get(name, ""), new.partials.get(name, ""), name, name)
    return tuple(lines)


def _unified(old: str, new: str, before: str, after: str) -> tuple[str, ...]:
    """Unified lines; ends of files that lack a line end are told apart as diff(1) does."""
    lines: list[str] = []
    for line in difflib.unified_diff(old.splitlines(keepends=True), new.splitlines(keepends=True), before, after):
        lines.append(line.rstrip("\n"))
        if not line.endswith("\n"):
            lines.append("\\ No newline at end of file")
    return tuple(lines)


def _name(template: Template) -> str:
    return f"{template.id}@{template.version} ({template.hash[:8]})"
