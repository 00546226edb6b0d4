"""Cases of a template: inputs that it must stand, what its rendering must show, and the reviewed text of it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Self, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from genrec.artifacts.renames import current_name
from genrec.artifacts.yaml_files import line_of, load_yaml
from genrec.domain import Candidate, Candidates, Fact, History, HistoryEntry, Item, MetadataValue
from genrec.errors import NotFoundError, TemplateError
from genrec.prompting.library import SUFFIX, TemplateLibrary, read_text
from genrec.prompting.phrases import BUCKETS
from genrec.prompting.render import render
from genrec.prompting.rendered import RenderedPrompt, Tokenizer
from genrec.prompting.template import Template, validation_message

INPUTS = "_inputs"
PREFIX_END = "═" * 8 + " shared prefix ends " + "═" * 8
TAIL_END = "─" * 8


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class CaseEvidence(_Part):
    """What is known of a candidate; kinds and buckets are those of `genrec.prompting.phrases`."""

    kind: str
    bucket: str
    related: str = ""
    field: str = ""

    @model_validator(mode="after")
    def _exists(self) -> Self:
        if self.bucket not in BUCKETS.get(self.kind, ()):
            raise ValueError(f"there is no evidence {self.kind} {self.bucket!r}; see prompts/README.md")
        return self

    def evidence(self) -> Fact:
        """As the system finds it."""
        return Fact(self.kind, self.bucket, self.related, self.field)


class CaseItem(BaseModel):
    """An item of a case. Keys that are not listed here are its metadata (year, genres, ...)."""

    model_config = ConfigDict(extra="allow", frozen=True)

    title: str
    event: str = "interaction"
    value: float | None = None
    evidence: tuple[CaseEvidence, ...] = ()
    count: int = Field(default=1, ge=1)
    """So many copies; `{n}` in the title becomes their number."""

    def items(self) -> list[Item]:
        """The copies, without ids of their own."""
        extra = self.model_extra or {}
        metadata = {name: _metadata(value) for name, value in extra.items()}
        return [Item("", self.title.replace("{n}", str(number + 1)), metadata) for number in range(self.count)]


class CaseInputs(_Part):
    """What goes into the rendering."""

    history: tuple[CaseItem, ...] = ()
    habits: tuple[str, ...] = ()
    candidates: tuple[CaseItem, ...] = ()
    query: str | None = None
    context: dict[str, str] | None = None

    @model_validator(mode="before")
    @classmethod
    def _current_names(cls, data: Any) -> Any:
        return current_name(data, "request", "query", "the inputs of a case")

    @field_validator("habits")
    @classmethod
    def _known_habits(cls, habits: tuple[str, ...]) -> tuple[str, ...]:
        if unknown := set(habits) - set(BUCKETS["habits"]):
            raise ValueError(f"there is no habit {min(unknown)!r}; there is {', '.join(BUCKETS['habits'])}")
        return habits


class Expectation(_Part):
    """What the rendered text must show. Regular expressions are searched; `.` does not cross lines."""

    contains: tuple[str, ...] = ()
    not_contains: tuple[str, ...] = Field(default=(), alias="not-contains")
    regex: tuple[str, ...] = ()
    max_tokens: int | None = Field(default=None, alias="max-tokens", ge=1)
    """Of the longest prompt."""
    max_tail_tokens: int | None = Field(default=None, alias="max-tail-tokens", ge=1)
    """Of the longest tail behind the shared prefix."""


class _CaseEntry(CaseInputs):
    inputs: str | None = None
    expect: Expectation = Expectation()


class _CaseFile(_Part):
    cases: dict[str, _CaseEntry]


@dataclass(frozen=True, slots=True)
class Case:
    """One case of a template, at `path`:`line`."""

    name: str
    inputs: CaseInputs
    expect: Expectation
    path: Path
    line: int


def cases_path(template: Template) -> Path:
    """Where the cases of a template stand."""
    return template.path.with_name(template.path.name.removesuffix(SUFFIX) + ".cases.yaml")


def snapshot_path(template: Template, case: Case) -> Path:
    """Where the reviewed text of a case stands."""
    name = template.path.name.removesuffix(SUFFIX)
    return template.path.parent / "snapshots" / f"{name}.{case.name}.txt"


def load_cases(template: Template, library: TemplateLibrary) -> list[Case]:
    """The cases, in the order of the file; none if there is no file. TemplateError names file and line."""
    return list(_cases(template, library))


def _cases(template: Template, library: TemplateLibrary) -> Iterator[Case]:
    path = cases_path(template)
    if not path.is_file():
        return
    entries, node = _read(path, _CaseFile)
    for name, entry in entries.cases.items():
        line = line_of(node, ("cases", name))
        inputs: CaseInputs = entry
        if entry.inputs is not None:
            shared_path = _shared(entry.inputs, library, path, line)
            shared = _shared_inputs(shared_path, read_text(shared_path))
            inputs = shared.model_copy(
                update={key: getattr(entry, key) for key in entry.model_fields_set & _INPUT_KEYS}
            )
        yield Case(name, inputs, entry.expect, path, line)


_INPUT_KEYS = set(CaseInputs.model_fields)


def find_case(template: Template, library: TemplateLibrary, name: str | None) -> Case:
    """The case of that name, or the first one."""
    passed = []
    for case in _cases(template, library):
        if name is None or case.name == name:
            return case
        passed.append(case.name)
    known = ", ".join(passed)
    raise NotFoundError(
        f"template {template.id} has no case{'' if name is None else f' {name!r}'}",
        f"its cases are {known}" if known else f"write some into {cases_path(template)}",
    )


@dataclass(frozen=True, slots=True)
class RenderInputs:
    """What a prompt is made from: of a case, or of a real user."""

    history: History
    candidates: Candidates
    query: str | None = None
    context: Mapping[str, str] | None = None


def inputs_of(case: Case) -> RenderInputs:
    """The inputs of a case as rendering takes them."""
    entries: list[HistoryEntry] = []
    for past in case.inputs.history:
        for item in past.items():
            entries.append(HistoryEntry(item, float(len(entries)), past.event, past.value))
    slate = [
        Candidate(item, 0.0, evidence=tuple(known.evidence() for known in entry.evidence))
        for entry in case.inputs.candidates
        for item in entry.items()
    ]
    habits = tuple(Fact("habits", bucket) for bucket in case.inputs.habits)
    return RenderInputs(
        History(None, tuple(entries), habits), Candidates(tuple(slate)), case.inputs.query, case.inputs.context
    )


def render_inputs(
    template: Template, inputs: RenderInputs, tokenizer: Tokenizer, block: int = 1, **options: Any
) -> RenderedPrompt:
    """The inputs as `genrec.prompting.render.render` renders them; `options` are more of its parameters."""
    return render(
        template,
        history=inputs.history,
        candidates=inputs.candidates,
        query=inputs.query,
        context=inputs.context,
        tokenizer=tokenizer,
        block=block,
        **options,
    )


def render_case(template: Template, case: Case, tokenizer: Tokenizer, block: int = 1) -> RenderedPrompt:
    """The case as `genrec.prompting.render.render` renders it."""
    return render_inputs(template, inputs_of(case), tokenizer, block)


def text_of(prompt: RenderedPrompt, tokenizer: Tokenizer) -> str:
    """What the model reads, control strings included; tails of candidates stand behind the shared prefix."""
    text = tokenizer.decode(prompt.prefix)
    if not prompt.suffixes:
        return text
    tails = f"\n{TAIL_END}\n".join(tokenizer.decode(suffix) for suffix in prompt.suffixes)
    return f"{text}\n{PREFIX_END}\n{tails}"


def problems(case: Case, prompt: RenderedPrompt, text: str) -> list[str]:
    """Expectations that the rendering does not meet."""
    expect = case.expect
    found = [f"does not contain {wanted!r}" for wanted in expect.contains if wanted not in text]
    found += [f"contains {unwanted!r}" for unwanted in expect.not_contains if unwanted in text]
    found += [f"does not match {pattern!r}" for pattern in expect.regex if not _search(pattern, text, case)]
    longest = max(map(len, prompt.prompts()))
    if expect.max_tokens is not None and longest > expect.max_tokens:
        found.append(f"takes {longest} tokens, more than {expect.max_tokens}")
    tail = max(map(len, prompt.suffixes), default=0)
    if expect.max_tail_tokens is not None and tail > expect.max_tail_tokens:
        found.append(f"has a tail of {tail} tokens, more than {expect.max_tail_tokens}")
    return found


def _search(pattern: str, text: str, case: Case) -> bool:
    try:
        return re.search(pattern, text, re.MULTILINE) is not None
    except re.error as error:
        raise TemplateError(
            f"{case.path}:{case.line}: {pattern!r} is no regular expression: {error}", "fix the pattern"
        ) from None


def _shared(name: str, library: TemplateLibrary, path: Path, line: int) -> Path:
    for folder in library.folders:
        found = folder / INPUTS / f"{name}.yaml"
        if found.is_file() and found.resolve().is_relative_to(folder.resolve()):
            return found
    raise TemplateError(f"{path}:{line}: there are no inputs {name!r}", f"shared inputs lie in {INPUTS}/NAME.yaml")


@lru_cache(maxsize=64)
def _shared_inputs(path: Path, text: str) -> CaseInputs:
    """The inputs in a file of that text: many templates share one."""
    return _parsed(text, path, CaseInputs)[0]


M = TypeVar("M", bound=BaseModel)


def _read(path: Path, model: type[M]) -> tuple[M, yaml.Node | None]:
    return _parsed(read_text(path), path, model)


def _parsed(text: str, path: Path, model: type[M]) -> tuple[M, yaml.Node | None]:
    data, node = load_yaml(text, path, kind=TemplateError)
    try:
        return model.model_validate(data if data is not None else {}), node
    except ValidationError as error:
        raise TemplateError(validation_message(error, node, path), "prompts/README.md shows how cases look") from None


def _metadata(value: Any) -> MetadataValue:
    if isinstance(value, list):
        return tuple(str(part) for part in value)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else str(value)
