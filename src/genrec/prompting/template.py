"""The file format of a template: YAML front matter, then Jinja. Every mistake names file and line."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from genrec.artifacts.renames import current_name
from genrec.artifacts.yaml_files import line_of, load_yaml
from genrec.domain import TemplateRef
from genrec.errors import TemplateError
from genrec.prompting.phrases import KINDS

InputType = Literal["items", "text", "facts"]
OutputKind = Literal["ranking", "yes_no", "text"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Input(_Part):
    """One input of a template."""

    type: InputType
    """items: history or candidates; text: free text; facts: names with values."""
    trust: Literal["trusted", "untrusted"] = "untrusted"
    """Whatever is not marked trusted passes the guard."""
    optional: bool = False
    max_items: int | None = Field(default=None, ge=1)
    """items and facts: at most so many."""
    item_tokens: int | None = Field(default=None, ge=4)
    """items and facts: what the data of one may take; title first, then year, genres, other fields."""
    keep: Literal["newest", "oldest"] = "newest"
    """items: which end stays when items are dropped."""
    cut: int | Literal["never"] = "never"
    """When the prompt is too long, the input with the smallest number loses items first."""
    max_tokens: int | None = Field(default=None, ge=1)
    """text: at most so many tokens."""
    evidence: tuple[str, ...] = Field(default=(), strict=False)
    """items: kinds of evidence in words (`evidence_words.KINDS`); as `item.evidence`, of a history as `history.habits`.
    """

    @field_validator("evidence")
    @classmethod
    def _known_evidence(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        known = [kind for kinds in KINDS.values() for kind in kinds]
        unknown = [name for name in names if name not in known]
        if unknown or len(set(names)) < len(names):
            wrong = f"there is no evidence '{unknown[0]}'" if unknown else "a kind of evidence is there twice"
            raise ValueError(f"{wrong}; there is {', '.join(known)}")
        return names

    @model_validator(mode="after")
    def _fits_type(self) -> Input:
        if self.type == "text" and (self.max_items or self.item_tokens or self.cut != "never"):
            raise ValueError("text takes max_tokens, but neither max_items, item_tokens nor cut")
        if self.type != "items" and self.evidence:
            raise ValueError("only items have evidence")
        if self.type != "text" and self.max_tokens:
            raise ValueError(f"{self.type} takes max_items and item_tokens, not max_tokens")
        if self.type == "text" and not self.max_tokens:
            raise ValueError("text needs max_tokens")
        if self.type != "text" and not self.item_tokens:
            raise ValueError(f"{self.type} needs item_tokens")
        if self.type == "facts" and self.cut != "never":
            raise ValueError("facts cannot be cut; lower max_items")
        return self


class YesNo(_Part):
    """Answers of a yes-or-no template, exactly as the model emits them; each must be one token."""

    yes: str = Field(min_length=1)
    no: str = Field(min_length=1)


class Output(_Part):
    """What the model is asked for, and how it is read."""

    kind: OutputKind
    labels: Literal["letters"] | YesNo | None = None

    @model_validator(mode="after")
    def _labels_fit(self) -> Output:
        if self.kind == "ranking" and self.labels != "letters":
            raise ValueError("kind ranking needs labels: letters")
        if self.kind == "yes_no" and not isinstance(self.labels, YesNo):
            raise ValueError('kind yes_no needs labels: {yes: "Yes", no: "No"}')
        if self.kind == "text" and self.labels is not None:
            raise ValueError("kind text has no labels")
        return self


class Budget(_Part):
    """Tokens."""

    context: int = Field(ge=64)
    """Longest prompt, `reserve` included."""
    reserve: int = Field(default=64, ge=1)
    """Kept free for what the model generates."""
    step: int = Field(default=128, ge=1)
    """Items are dropped in lots of about so many tokens, so that the start of the prompt stays the same for a while."""

    @model_validator(mode="after")
    def _leaves_room(self) -> Budget:
        if self.reserve >= self.context:
            raise ValueError("reserve leaves no room in context")
        return self


@dataclass(frozen=True, slots=True)
class Task:
    """What a kind of template must and may declare, and what it may ask for."""

    required: Mapping[str, InputType]
    optional: Mapping[str, InputType]
    outputs: frozenset[str]


QUERY, OLD_QUERY = "query", "request"
"""The input with what the person asks for in words, and its name until 0.3."""
_TAG = re.compile(r"\{[{%].*?[%}]\}", re.DOTALL)
_QUERY_IN_TAG = re.compile(rf"(?<![\w.]){QUERY}(?!\w)")
_FREE: Mapping[str, InputType] = {QUERY: "text", "context": "facts"}
TASKS: Mapping[str, Task] = {
    "rank": Task({"history": "items", "candidates": "items"}, _FREE, frozenset({"ranking", "yes_no"})),
    "explain": Task({"history": "items", "candidates": "items"}, _FREE, frozenset({"text"})),
}


class FrontMatter(_Part):
    """The part between the two lines of dashes."""

    version: int = Field(ge=1)
    task: Literal["rank", "explain"]
    summary: str = Field(min_length=1)
    language: str = Field(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]+)*$")
    inputs: dict[str, Input]
    output: Output
    budget: Budget

    @model_validator(mode="after")
    def _fits_task(self) -> FrontMatter:
        task = TASKS[self.task]
        known = {**task.required, **task.optional}
        if OLD_QUERY in self.inputs:
            current_name(dict(self.inputs), OLD_QUERY, QUERY, "a template's inputs")
            known[OLD_QUERY] = known[QUERY]
        for name in task.required:
            if name not in self.inputs:
                raise ValueError(f"task {self.task} needs the input '{name}'")
        for name, spec in self.inputs.items():
            if name not in known:
                raise ValueError(f"task {self.task} has no input '{name}'; it has {', '.join(known)}")
            if spec.type != known[name]:
                raise ValueError(f"input '{name}' is of type {known[name]}, not {spec.type}")
            for kind in spec.evidence:
                if kind not in KINDS[name]:
                    raise ValueError(f"input '{name}' has no evidence '{kind}'; it has {', '.join(KINDS[name])}")
        if self.output.kind not in task.outputs:
            raise ValueError(f"task {self.task} yields {' or '.join(sorted(task.outputs))}, not {self.output.kind}")
        if self.inputs["candidates"].cut != "never":
            raise ValueError("candidates are never cut: every one of them must be ranked")
        return self


@dataclass(frozen=True, eq=False)
class Template:
    """One template as loaded from disk; compared by identity, so that what is compiled from it can be cached.

    `body` stands from line `body_line` of `path`; `partials` has name and text of every partial it includes.
    """

    id: str
    version: int
    task: str
    summary: str
    language: str
    inputs: Mapping[str, Input]
    output: Output
    budget: Budget
    body: str
    body_line: int
    path: Path
    partials: Mapping[str, str]
    partial_paths: Mapping[str, Path]
    hash: str
    """Over body, partials and behaviour (all of the front matter but version and summary)."""

    @property
    def ref(self) -> TemplateRef:
        """What goes into the provenance of an answer."""
        return TemplateRef(self.id, self.version, self.hash)

    @property
    def declared(self) -> tuple[tuple[str, str], ...]:
        """(input, attribute) of what is declared and must be printed: evidence of items, habits of a history."""
        attribute = {"history": "habits"}
        return tuple((name, attribute.get(name, "evidence")) for name, spec in self.inputs.items() if spec.evidence)


def validation_message(error: ValidationError, node: yaml.Node | None, path: Path, first_line: int = 1) -> str:
    """All problems of a pydantic model, each as `file:line: key: what is wrong`."""
    lines = []
    for problem in error.errors():
        place = tuple(part for part in problem["loc"] if part not in ("YesNo", "int", "literal['letters']"))
        what = "unknown key" if problem["type"] == "extra_forbidden" else problem["msg"].removeprefix("Value error, ")
        key = ".".join(str(part) for part in place if not str(part).startswith("literal["))
        lines.append(f"{path}:{line_of(node, place, first_line)}: {key + ': ' if key else ''}{what}")
    return "\n".join(dict.fromkeys(lines))


def split_front_matter(text: str, path: Path) -> tuple[str, str, int]:
    """Front matter, body, and the line on which the body starts."""
    lines = text.splitlines(keepends=True)
    if not lines or lines[0].rstrip() != "---":
        raise TemplateError(f"{path}:1: no front matter", "begin the file with a line of three dashes")
    for number, line in enumerate(lines[1:], start=1):
        if line.rstrip() == "---":
            return "".join(lines[1:number]), "".join(lines[number + 1 :]), number + 2
    raise TemplateError(f"{path}:1: the front matter has no end", "close it with a line of three dashes")


def parse_front_matter(text: str, path: Path) -> FrontMatter:
    """Validates the text between the dashes, which starts on line 2 of `path`."""
    data, node = load_yaml(text, path, first_line=2, kind=TemplateError)
    try:
        return FrontMatter.model_validate(data if data is not None else {})
    except ValidationError as error:
        raise TemplateError(
            validation_message(error, node, path, first_line=2), "prompts/README.md describes every key"
        ) from None


def _by_old_name(text: str) -> str:
    """What the tags of a template say, with the name that `query` had before."""
    return _TAG.sub(lambda tag: _QUERY_IN_TAG.sub(OLD_QUERY, tag[0]), text)


def fingerprint(front: FrontMatter, body: str, partials: Mapping[str, str]) -> str:
    """Hash of everything that changes what the model reads or how it is read; 16 hexadecimal digits."""
    behaviour = front.model_dump(mode="json", exclude={"version", "summary"})
    for spec in behaviour["inputs"].values():
        if not spec["evidence"]:  # hashes of templates that ask for none are older than evidence
            del spec["evidence"]
    texts = [body, sorted(partials.items())]
    if QUERY in behaviour["inputs"]:  # hashes are older than this name, and no prompt is another for it
        behaviour["inputs"][OLD_QUERY] = behaviour["inputs"].pop(QUERY)
        texts = [_by_old_name(body), sorted((name, _by_old_name(text)) for name, text in partials.items())]
    payload = json.dumps([behaviour, *texts], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(payload.encode()).hexdigest()[:16]
