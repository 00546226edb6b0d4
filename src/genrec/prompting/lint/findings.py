"""What lint can find: every code with its meaning and how to fix it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from genrec.errors import GenrecError


@dataclass(frozen=True, slots=True)
class Code:
    """What a finding means, and what to do about it."""

    meaning: str
    fix: str


CODES = {
    "format": Code(
        "The front matter does not validate, or the file cannot be read.",
        "Look the key up in the table of prompts/README.md; the message says what it must be.",
    ),
    "unknown-key": Code(
        "The front matter has a key that does not exist, so it would have no effect.",
        "Fix its spelling or remove it.",
    ),
    "syntax": Code(
        "The text or a partial is not valid Jinja, or has a tag that templates do not have.",
        "Fix the line that is named. Every {% if %} and {% for %} needs its end.",
    ),
    "missing-partial": Code(
        "The text includes a piece that does not exist.",
        "Fix its name, or write the file into _partials/ of your folder.",
    ),
    "undeclared-input": Code(
        "The text uses a name that is neither an input nor set in the template: rendering would fail.",
        "Declare it under inputs, or fix its spelling.",
    ),
    "unused-input": Code(
        "An input is declared but never used: people would be asked for something that nobody reads.",
        "Use it in the text, or take it out of the front matter.",
    ),
    "control-string": Code(
        "Your own text holds a control string of a chat template, or a private-use character: it could open a role.",
        'Remove it. Roles come from {% message "user" %} blocks only.',
    ),
    "unfenced-value": Code(
        "A value that strangers write runs into your own words, so a title could pose as an instruction. The guard "
        "makes every value one line without double quotes; the template must hold it in with one of the two.",
        "Put the value between double quotes that open and close on its line. Or begin its line with a bullet (- ), a "
        'number, a label or a heading with a colon ("Next: "); free text must then be the last thing on the line. A '
        "user message that is nothing but free text is fine, too. No such value may stand in a system message.",
    ),
    "unbounded-loop": Code(
        "A loop runs over an input without max_items, or over a range that data decide: no prompt is the longest.",
        "Give the input max_items, or loop over a slice such as history[-10:].",
    ),
    "budget": Code(
        "The prompt cannot fit: the fixed text with one candidate, or the caps of what is never cut, take more than "
        "context less reserve.",
        "Shorten the text, lower max_items, item_tokens or max_tokens, let history be cut, or raise budget.context.",
    ),
    "output-mismatch": Code(
        "The text does not ask for what output says it yields, so the answer could not be read.",
        "A ranking writes {{ item.label }}. at the start of each candidate's line. A yes_no template has one "
        "{% shared_prefix_end %}, and answers that are single tokens of the model. A text has neither.",
    ),
    "version": Code(
        "The behaviour is not the one that prompts.lock knows for this version: logs would name the wrong text.",
        "Raise version, look at the change with genrec prompt diff, then run genrec prompt lock.",
    ),
    "trailing-whitespace": Code(
        "The text differs from the locked version in blanks or line ends only: nobody sees it, but the model does.",
        "Take the change back; if it is meant, raise version and run genrec prompt lock.",
    ),
    "no-cases": Code(
        "There are no cases, or an obligatory one is missing or is not what its name says.",
        "Add them; the shared inputs in _inputs/ have all of them ready. genrec prompt new writes a whole set.",
    ),
    "case": Code(
        "A case does not render, or its rendering does not meet an expectation.",
        "Look at it with genrec prompt render ID --case NAME, then fix the template or the expectation.",
    ),
    "snapshot": Code(
        "The rendered text of a case is not the reviewed one.",
        "Look at it with genrec prompt diff ID --against-locked; genrec prompt lint --update accepts it.",
    ),
}
"""Every code, in the order in which a template is checked. `genrec prompt lint --explain CODE` prints it."""

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


def from_error(error: GenrecError, path: Path, code: str, line: int = 1) -> Iterator[Finding]:
    """One finding for each `file:line: message` of an error; at `path`:`line` where it names no place."""
    for number, text in enumerate(error.message.splitlines()):
        if match := _PLACE.fullmatch(text):
            yield Finding(Path(match["path"]), int(match["line"]), code, match["message"], error.hint)
        elif number == 0:
            yield Finding(path, line, code, text, error.hint)
