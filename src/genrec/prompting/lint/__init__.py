"""Finds what is wrong with templates before a user does. Each finding names file, line, code, message and hint."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from genrec.errors import TemplateError
from genrec.prompting import syntax
from genrec.prompting.library import TemplateLibrary, read_text
from genrec.prompting.lint.budgets import check_budget
from genrec.prompting.lint.cases import Snapshots, check_cases
from genrec.prompting.lint.fences import check_fences
from genrec.prompting.lint.findings import CODES, Finding, from_error
from genrec.prompting.lint.names import check_inputs, check_literals, check_loops
from genrec.prompting.lint.outputs import check_output
from genrec.prompting.lint.versions import check_version
from genrec.prompting.rendered import Tokenizer

__all__ = ["CODES", "Finding", "Snapshots", "lint"]


def lint(
    library: TemplateLibrary, template_id: str, tokenizer: Tokenizer | None = None, snapshots: Snapshots = "check"
) -> list[Finding]:
    """All findings about one template.

    Cases and snapshots need a tokenizer and are left out without one; they are rendered only where nothing else is
    wrong. Snapshots are of the default model, so skip them with another one; `update` writes them anew, as reviewed.
    """
    path = library.path(template_id)
    try:
        template = library.get(template_id)
        syntax.compiled(template)
    except TemplateError as error:
        return list(_unloadable(error, path))
    findings = [
        *check_inputs(template),
        *check_literals(template, tokenizer),
        *check_fences(template),
        *check_loops(template),
        *check_output(template, tokenizer),
        *check_budget(template, tokenizer),
        *check_version(template, library),
    ]
    findings += check_cases(template, library, tokenizer if not findings else None, snapshots)
    return sorted(findings, key=lambda finding: (str(finding.path), finding.line, finding.code))


_IN_FRONT_MATTER = {
    "unknown-key": re.compile(r".*: unknown key"),
    "output-mismatch": re.compile(r"output: kind .*|task \w+ yields .*"),
    "budget": re.compile(r"budget: reserve leaves .*"),
}


def _unloadable(error: TemplateError, path: Path) -> Iterator[Finding]:
    """What keeps a template from being read, each with the code that fits its place."""
    lines = read_text(path).splitlines() if error.message.find("UTF-8") < 0 else []
    dashes = [number for number, text in enumerate(lines, start=1) if text.rstrip() == "---"]
    body = dashes[1] if len(dashes) > 1 else len(lines) + 1
    for finding in from_error(error, path, "format"):
        if "includes the partial" in finding.message:
            code = "missing-partial"
        elif finding.path != path or finding.line > body:
            code = "syntax"
        else:
            sharper = (code for code, form in _IN_FRONT_MATTER.items() if form.fullmatch(finding.message))
            code = next(sharper, "format")
        yield replace(finding, code=code)
