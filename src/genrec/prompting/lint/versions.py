"""Whether a template still behaves as its version was locked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from genrec.errors import TemplateError
from genrec.prompting.library import LOCK, TemplateLibrary
from genrec.prompting.lint import source
from genrec.prompting.lint.findings import Finding, from_error
from genrec.prompting.lock import differs_in_blanks_only, read_lock, verify
from genrec.prompting.template import Template


def check_version(template: Template, library: TemplateLibrary) -> Iterator[Finding]:
    """Behaviour that the lock file does not know for this version; changes of blanks only have a code of their own."""
    root = library.root(template)
    try:
        locked = read_lock(root)
    except TemplateError as error:
        yield from from_error(error, root / LOCK, "version")
        return
    problem = verify(template, locked)
    if problem is None:
        return
    line = source.line_of(template, r"version\s*:")
    if differs_in_blanks_only(template, locked):
        message = f"only blanks at line ends, or line ends, differ from the locked version {template.version}"
        hint = "take them back, or raise version and run genrec prompt lock"
        yield Finding(*_blank_place(template), "trailing-whitespace", message, hint)
    else:
        hint = "raise version where the behaviour changed, then run genrec prompt lock"
        yield Finding(template.path, line, "version", problem, hint)


def _blank_place(template: Template) -> tuple[Path, int]:
    """The first line with blanks at its end, in the body or a partial; else the last line, whose end may differ."""
    texts = [(template.path, template.body_line, template.body)]
    texts += [(template.partial_paths[name], 1, text) for name, text in template.partials.items()]
    for path, first, text in texts:
        for number, line in enumerate(text.splitlines(), start=first):
            if line != line.rstrip():
                return path, number
    return template.path, template.body_line + max(0, len(template.body.splitlines()) - 1)
