"""A new template: a copy of a working one under an id of its own, with cases, snapshots and a lock."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from genrec.errors import NotFoundError, TemplateError
from genrec.prompting.cases import cases_path, load_cases, render_case, snapshot_path, text_of
from genrec.prompting.library import SUFFIX, TemplateLibrary, read_text
from genrec.prompting.lock import write_lock
from genrec.prompting.rendered import Tokenizer
from genrec.prompting.template import Template, split_front_matter

_ID = re.compile(r"[A-Za-z0-9][\w.-]*(?:/[A-Za-z0-9][\w.-]*)+")
_FIRST = ("rank/pointwise", "explain/reasons")
"""Skeletons that go before others of their task."""


def skeleton(library: TemplateLibrary, task: str, language: str) -> Template:
    """The plainest template of a task in a language: the one with the shortest id. NotFoundError if there is none."""
    templates = library.readable()
    fitting = [template for template in templates if (template.task, template.language) == (task, language)]
    if not fitting:
        known = sorted({f"{template.task} in {template.language}" for template in templates})
        raise NotFoundError(f"there is no template of task {task} in {language}", f"there is {', '.join(known)}")
    return min(fitting, key=lambda template: (not template.id.startswith(_FIRST), len(template.id), template.id))


def create(template_id: str, source: Template, folder: Path, tokenizer: Tokenizer) -> Path:
    """Writes the new template into `folder`, which is made if needed; returns its file.

    Partials and shared inputs are not copied: those that ship are found from any folder. TemplateError if the id is no
    path of plain names, or a file of it exists. What was written is removed again if a case does not render.
    """
    if not _ID.fullmatch(template_id) or ".." in template_id:
        raise TemplateError(f"'{template_id}' cannot be the id of a template", "write it like rank/mine")
    target = folder / f"{template_id}{SUFFIX}"
    cases = target.with_name(target.name.removesuffix(SUFFIX) + ".cases.yaml")
    _refuse(target, cases)
    written = {target: _as_new(source), cases: read_text(cases_path(source)).encode()}
    try:
        _write(written)
        made = TemplateLibrary(folder)
        template = made.get(template_id)
        snapshots = {
            snapshot_path(template, case): text_of(render_case(template, case, tokenizer), tokenizer).encode()
            for case in load_cases(template, made)
        }
        _refuse(*snapshots)
        written |= snapshots
        _write(snapshots)
        write_lock(folder, [template])
    except BaseException:
        for path in written:
            path.unlink(missing_ok=True)
        raise
    return target


def _refuse(*paths: Path) -> None:
    for path in paths:
        if path.exists():
            raise TemplateError(f"{path} exists already", "choose another id, or remove the file first")


def _write(files: Mapping[Path, bytes]) -> None:
    for path, content in files.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        except OSError as error:
            raise TemplateError(f"{path} cannot be written: {error.strerror}", "choose another --folder") from None


def _as_new(source: Template) -> bytes:
    """The file of the source as version 1; comments and layout stay."""
    text = read_text(source.path)
    front, body, _ = split_front_matter(text, source.path)
    front = re.sub(r"(?m)^version:.*$", "version: 1", front, count=1)
    front = re.sub(r"(?m)^summary:.*(?:\n[ \t]+.*)*$", f"summary: A copy of {source.id}.", front, count=1)
    return f"---\n{front}---\n{body}".encode()
