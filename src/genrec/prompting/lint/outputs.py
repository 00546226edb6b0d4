"""Whether the text asks for what `output` says the template yields."""

from __future__ import annotations

import re
from collections.abc import Iterator

from genrec.errors import TemplateError
from genrec.prompting.labels import yes_no_ids
from genrec.prompting.lint import source
from genrec.prompting.lint.findings import Finding
from genrec.prompting.render import closing_text
from genrec.prompting.rendered import Tokenizer
from genrec.prompting.template import Template, YesNo


def check_output(template: Template, tokenizer: Tokenizer | None) -> Iterator[Finding]:
    """Shared prefix and labels against the kind of output; with a tokenizer, that both answers are single tokens."""
    kind, path, body = template.output.kind, template.path, template.body
    line = source.line_of(template, r"output\s*:")
    text = "\n".join([body, *template.partials.values()])
    if (kind == "yes_no") != ("shared_prefix_end" in body):
        message = "needs {% shared_prefix_end %}" if kind == "yes_no" else "has no shared prefix"
        yield Finding(path, line, "output-mismatch", f"output {kind} {message}", "put it where the candidate begins")
    if (kind == "ranking") != (re.search(r"\.\s*label\b", text) is not None):
        message = "must show {{ item.label }}" if kind == "ranking" else "has no labels to show"
        hint = "write it at the start of the candidate's line, with a full stop"
        yield Finding(path, line, "output-mismatch", f"output {kind} {message}", hint)
    answers = template.output.labels
    if tokenizer is not None and isinstance(answers, YesNo):
        try:
            yes_no_ids(tokenizer, closing_text(tokenizer), answers.yes, answers.no)
        except TemplateError as error:
            yield Finding(path, line, "output-mismatch", error.message, error.hint)
