"""What goes to the process that renders templates from a page, and what comes back. JSON on both ways."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from genrec.ranking.base import RankingTask


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CaseInputs(_Part):
    """A case of the template by its name (None: the first), and what stands in place of its own inputs."""

    name: str | None
    query: str | None = None
    context: dict[str, str] | None = None


class Call(_Part):
    """One piece of work on one template.

    `render` needs `tokenizer` (the folder of a model) and a `task`, or else renders a case. `lint` checks cases too
    where there is a tokenizer. `diff` compares `source` with the stored text.
    """

    kind: Literal["render", "lint", "diff"]
    template: str
    source: str | None = None
    """None: as it is stored."""
    folder: Path | None = None
    """Local templates."""
    tokenizer: Path | None = None
    task: RankingTask | None = None
    case: CaseInputs | None = None
    block: int = 1
    context: int | None = None
    """Tokens that the model can read."""
    orders: int = Field(default=1, ge=1)
    """Renderings of a slate with labels, each under its own order."""
    seconds: float = 5.0
    """After so much processor time the work ends with an error that names the line, a little later with the process."""


class Line(_Part):
    """A finding. `path` is relative to the template folder; `own` if it is the edited file."""

    path: str
    line: int
    own: bool
    code: str
    message: str
    hint: str = ""


class Message(_Part):
    """One message as the model reads it. Its first `cached` characters lie in the cached prefix."""

    role: str
    text: str
    tokens: int
    cached: int


class Dropped(_Part):
    """What the budget took out."""

    input: str
    count: int
    reason: str


class Labels(_Part):
    """Label and token id of each candidate in slate order (`yes_no`: of the two answers)."""

    names: tuple[str, ...]
    ids: tuple[int, ...]


class Prompt(_Part):
    """A rendered prompt. `tails` has the text behind the shared prefix for each candidate of a `yes_no` template.

    `tokens` is by block. `cached`: tokens that a second request of the same user finds in the engine's cache.
    `longest`: tokens of the longest prompt, of at most `limit`.
    """

    output: Literal["ranking", "yes_no", "text"]
    messages: tuple[Message, ...]
    tails: tuple[str, ...]
    tokens: dict[str, int]
    cached: int
    longest: int
    limit: int
    dropped: tuple[Dropped, ...]
    labels: tuple[Labels, ...]


class Reply(_Part):
    """The answer to a call; no `prompt` where the findings say why."""

    findings: tuple[Line, ...] = ()
    prompt: Prompt | None = None
    diff: str | None = None
