"""Finds what is wrong with templates before a user does. Each finding names file, line, code, message and hint."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from jinja2 import meta, nodes

from genrec.errors import GenrecError, TemplateError
from genrec.prompting import syntax
from genrec.prompting.cases import (
    OBLIGATORY,
    Case,
    cases_path,
    load_cases,
    problems,
    render_case,
    snapshot_path,
    text_of,
)
from genrec.prompting.library import LOCK, TemplateLibrary, read_lock, read_text, verify
from genrec.prompting.rendered import Tokenizer
from genrec.prompting.template import Template

Snapshots = Literal["check", "update", "skip"]

CODES = {
    "format": "the front matter does not validate, or the file cannot be read",
    "syntax": "the body or a partial is not valid Jinja, or includes a partial that does not exist",
    "undeclared-input": "a name is used that is neither an input nor set in the template",
    "unused-input": "an input is declared but never used",
    "control-string": "literal text holds a control string of a chat template, or a private-use character",
    "output-mismatch": "the body does not fit the kind of output: shared prefix and candidate labels",
    "version": "the behaviour is not the one that the lock file knows for this version",
    "no-cases": "there are no cases, or an obligatory one is missing",
    "case": "a case does not render, or its rendering does not meet an expectation",
    "snapshot": "the rendered text of a case is not the reviewed one",
}
"""Every code with its meaning; prompts/README.md says how to mend each."""

_CONTROL = re.compile(r"<\|[^|<>\s]{1,40}\|>|</?s>|\[/?INST\]|<(?:start|end)_of_turn>|<(?:bos|eos)>|[\ue000-\ue0ff]")
_PLACE = re.compile(r"(?P<path>.*?):(?P<line>\d+): (?P<message>.*)")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, at `path`:`line`."""

    path: Path
    line: int
    code: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.path}:{self.line} {self.code} {self.message}" + (f" ({self.hint})" if self.hint else "")


def lint(
    library: TemplateLibrary, template_id: str, tokenizer: Tokenizer | None = None, snapshots: Snapshots = "check"
) -> list[Finding]:
    """All findings about one template.

    Cases and snapshots need a tokenizer and are left out without one. Snapshots are of the default model, so skip them
    with another one; `update` writes them anew, as reviewed.
    """
    path = library.path(template_id)
    try:
        template = library.get(template_id)
        syntax.compiled(template)
    except TemplateError as error:
        return _from_error(error, path, "syntax" if "partial" in error.message or _in_body(error, path) else "format")
    findings = [*_inputs(template), *_literals(template, tokenizer), *_output(template), *_version(template, library)]
    findings += _cases(template, library, tokenizer if not findings else None, snapshots)
    return sorted(findings, key=lambda finding: (str(finding.path), finding.line, finding.code))


def _from_error(error: GenrecError, path: Path, code: str, line: int = 1) -> list[Finding]:
    findings = []
    for text in error.message.splitlines():
        match = _PLACE.fullmatch(text)
        if match:
            findings.append(Finding(Path(match["path"]), int(match["line"]), code, match["message"], error.hint))
        elif not findings:
            findings.append(Finding(path, line, code, text, error.hint))
    return findings


def _in_body(error: TemplateError, path: Path) -> bool:
    match = _PLACE.match(error.message)
    dashes = [number for number, text in enumerate(read_text(path).splitlines(), 1) if text.rstrip() == "---"]
    return bool(match) and len(dashes) > 1 and int(match["line"]) > dashes[1] if match else False


def _trees(template: Template) -> Iterator[tuple[nodes.Template, Path]]:
    yield syntax.parse(template.body, template.path, template.body_line), template.path
    for name, text in template.partials.items():
        yield syntax.parse(text, template.partial_paths[name]), template.partial_paths[name]


def _inputs(template: Template) -> Iterator[Finding]:
    (body, _), *partials = _trees(template)
    set_in_body = {name.name for name in body.find_all(nodes.Name) if name.ctx == "store"}
    used: set[str] = set()
    for tree, path in [(body, template.path), *partials]:
        free = meta.find_undeclared_variables(tree)
        used |= free
        known = set(template.inputs) | (set() if tree is body else set_in_body)
        for name in sorted(free - known):
            line = min(node.lineno for node in tree.find_all(nodes.Name) if node.name == name)
            hint = f"the inputs are {', '.join(template.inputs)}"
            yield Finding(path, line, "undeclared-input", f"'{name}' is no input of this template", hint)
    for name in template.inputs:
        if name not in used:
            line = _line(template, rf"\s+{name}\s*:")
            yield Finding(template.path, line, "unused-input", f"input '{name}' is never used", "use it or remove it")


def _line(template: Template, pattern: str) -> int:
    lines = enumerate(read_text(template.path).splitlines(), start=1)
    return next((number for number, text in lines if re.match(pattern, text)), 1)


def _literals(template: Template, tokenizer: Tokenizer | None) -> Iterator[Finding]:
    own = sorted(tokenizer.control_strings) if tokenizer else []
    for tree, path in _trees(template):
        for node in tree.find_all((nodes.TemplateData, nodes.Const)):
            text = getattr(node, "data", None) or getattr(node, "value", None)
            if not isinstance(text, str):
                continue
            found = _CONTROL.search(text)
            string = found[0] if found else next((control for control in own if control in text), None)
            if string is not None:
                line = node.lineno + text[: text.index(string)].count("\n")
                hint = "roles come from message blocks only"
                yield Finding(path, line, "control-string", f"literal text holds {string!a}", hint)


def _output(template: Template) -> Iterator[Finding]:
    kind, path, body = template.output.kind, template.path, template.body
    line = _line(template, r"output\s*:")
    text = "\n".join([body, *template.partials.values()])
    if (kind == "yes_no") != ("shared_prefix_end" in body):
        message = "needs {% shared_prefix_end %}" if kind == "yes_no" else "has no shared prefix"
        yield Finding(path, line, "output-mismatch", f"output {kind} {message}", "put it where the candidate begins")
    if (kind == "ranking") != (re.search(r"\.\s*label\b", text) is not None):
        message = "must show {{ item.label }}" if kind == "ranking" else "has no labels to show"
        hint = "write it at the start of the candidate's line, with a full stop"
        yield Finding(path, line, "output-mismatch", f"output {kind} {message}", hint)


def _version(template: Template, library: TemplateLibrary) -> Iterator[Finding]:
    root = library.root(template)
    try:
        problem = verify(template, read_lock(root))
    except TemplateError as error:
        yield from _from_error(error, root / LOCK, "version")
        return
    if problem:
        hint = "raise version where the behaviour changed, then run genrec prompt lock"
        yield Finding(template.path, _line(template, r"version\s*:"), "version", problem, hint)


def _cases(
    template: Template, library: TemplateLibrary, tokenizer: Tokenizer | None, snapshots: Snapshots
) -> Iterator[Finding]:
    path = cases_path(template)
    try:
        cases = load_cases(template, library)
    except TemplateError as error:
        yield from _from_error(error, path, "case")
        return
    if not cases:
        yield Finding(template.path, 1, "no-cases", "there are no cases", f"write some into {path.name}")
        return
    missing = [name for name in OBLIGATORY if name not in {case.name for case in cases}]
    if missing:
        yield Finding(path, 1, "no-cases", f"obligatory cases are missing: {', '.join(missing)}", "add them")
    if tokenizer is not None:
        for case in cases:
            yield from _case(template, case, tokenizer, snapshots)


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
