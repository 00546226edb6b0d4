"""Cases and snapshots of a template."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from genrec.errors import GenrecError, TemplateError
from genrec.prompting.cases import (
    Case,
    cases_path,
    load_cases,
    problems,
    render_case,
    snapshot_path,
    text_of,
)
from genrec.prompting.library import TemplateLibrary, read_text
from genrec.prompting.lint.findings import Finding, from_error
from genrec.prompting.obligatory import OBLIGATORY
from genrec.prompting.rendered import Tokenizer
from genrec.prompting.template import Template

Snapshots = Literal["check", "update", "skip"]


def check_cases(
    template: Template, library: TemplateLibrary, tokenizer: Tokenizer | None, snapshots: Snapshots
) -> Iterator[Finding]:
    """Missing cases; with a tokenizer also cases that fail, and renderings that are not the reviewed ones."""
    path = cases_path(template)
    try:
        cases = load_cases(template, library)
    except TemplateError as error:
        yield from from_error(error, path, "case")
        return
    if not cases:
        yield Finding(template.path, 1, "no-cases", "there are no cases", f"write some into {path.name}")
        return
    incomplete = list(_obligatory(template, cases, path))
    yield from incomplete
    if tokenizer is not None and not incomplete:
        for case in cases:
            yield from _case(template, case, tokenizer, snapshots)


def _obligatory(template: Template, cases: Sequence[Case], path: Path) -> Iterator[Finding]:
    missing = [name for name in OBLIGATORY if name not in {case.name for case in cases}]
    if missing:
        yield Finding(path, 1, "no-cases", f"obligatory cases are missing: {', '.join(missing)}", "add them")
    for case in cases:
        requirement = OBLIGATORY.get(case.name)
        if requirement is not None and not requirement.holds(case.inputs, template):
            message = f"{case.name} is not what its name says: it must have {requirement.what}"
            yield Finding(case.path, case.line, "no-cases", message, f"take the shared ones: inputs: {case.name}")


def _case(template: Template, case: Case, tokenizer: Tokenizer, snapshots: Snapshots) -> Iterator[Finding]:
    try:
        prompt = render_case(template, case, tokenizer)
        text = text_of(prompt, tokenizer)
        found = problems(case, prompt, text)
    except GenrecError as error:
        yield Finding(case.path, case.line, "case", f"{case.name}: {error.message.splitlines()[0]}", error.hint)
        return
    for problem in found:
        yield Finding(case.path, case.line, "case", f"{case.name}: {problem}", "genrec prompt render shows the text")
    snapshot = snapshot_path(template, case)
    if snapshots == "update":
        snapshot.parent.mkdir(exist_ok=True)
        snapshot.write_bytes(text.encode())
    elif snapshots == "check" and (not snapshot.is_file() or read_text(snapshot) != text):
        what = "the rendering is not the reviewed one" if snapshot.is_file() else "there is no reviewed rendering"
        hint = "look at it with genrec prompt render; genrec prompt lint --update accepts it"
        yield Finding(case.path, case.line, "snapshot", f"{case.name}: {what}", hint)
