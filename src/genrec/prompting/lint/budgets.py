"""Whether a prompt of the template can fit at all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from genrec.domain import Candidate, Candidates, History, Item
from genrec.errors import BudgetError, GenrecError
from genrec.prompting.lint import source
from genrec.prompting.lint.findings import Finding
from genrec.prompting.render import render
from genrec.prompting.rendered import Tokenizer
from genrec.prompting.template import Template

_HINT = "raise context, or lower max_items, item_tokens or max_tokens"


def check_budget(template: Template, tokenizer: Tokenizer | None) -> Iterator[Finding]:
    """The caps of what is never cut, and with a tokenizer the fixed text with one candidate, against the context."""
    line = source.line_of(template, r"budget\s*:")
    limit = template.budget.context - template.budget.reserve
    caps = never_cut(template)
    if sum(caps.values()) > limit:
        parts = " + ".join(f"{name} {tokens}" for name, tokens in caps.items() if tokens)
        message = f"what is never cut may take {sum(caps.values())} tokens ({parts}), but there is room for {limit}"
        yield Finding(template.path, line, "budget", message, _HINT)
    elif tokenizer is not None:
        yield from _smallest(template, tokenizer, line)


def never_cut(template: Template) -> Mapping[str, int]:
    """Tokens that the data of each input may take after all cuts. Of a yes_no slate one candidate is in a prompt."""
    caps = {}
    for name, spec in template.inputs.items():
        if spec.type == "text":
            caps[name] = spec.max_tokens or 0
        elif spec.cut == "never":
            one = name == "candidates" and template.output.kind == "yes_no"
            caps[name] = (spec.item_tokens or 0) * (1 if one else spec.max_items or 1)
    return caps


def _smallest(template: Template, tokenizer: Tokenizer, line: int) -> Iterator[Finding]:
    slate = Candidates((Candidate(Item("", "x"), 0.0),))
    try:
        render(template, history=History(None), candidates=slate, tokenizer=tokenizer)
    except BudgetError as error:
        # The table of the error stands in the message's other lines.
        yield Finding(
            template.path, line, "budget", f"with one candidate, {error.message.splitlines()[0].rstrip(':')}", _HINT
        )
    except GenrecError:
        return  # the cases name it
