"""What a suite file says. Everything that is wrong with one is reported at once, with its file."""

from __future__ import annotations

import importlib.resources
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from genrec.artifacts.renames import current_name
from genrec.artifacts.yaml_files import load_yaml
from genrec.data.cold_splits import COLD
from genrec.errors import GenrecError, NotFoundError, SettingsError
from genrec.evaluation.controls import CONTROLS
from genrec.evaluation.suite import gates
from genrec.evaluation.suite.gates import Gate
from genrec.evaluation.tables import Column, columns_of
from genrec.ranking.base import RANKERS
from genrec.retrieval.base import RETRIEVERS
from genrec.settings import Policy, Settings

SUFFIX = ".yaml"
WITHOUT_LLM = ("retriever", "slate", "click", "fused_without_llm")
"""Orders of a served system for which no language model is asked."""
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _is_name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise ValueError("use letters, digits, '_' and '-', a letter first")
    return text


Name = Annotated[str, AfterValidator(_is_name)]


class Source(_Strict):
    """Data that the suite imports by itself where the workspace has none. Paths are seen from the suite's folder."""

    importer: Literal["movielens", "recbole", "tables"]
    path: str
    """Folder of the data set, a known name (`genrec data fetch --list`), or the events of `tables`."""
    items: str | None = None
    """Catalogue of `tables`."""
    min_item_events: int = Field(default=0, ge=0)
    min_user_events: int = Field(default=0, ge=0)


class SplitSpec(_Strict):
    """What is held out: see `genrec.data.cold_splits.held_out`."""

    name: Literal["temporal", "leave-one-out", "cold-items", "cold-users"] = "temporal"
    of: Literal["temporal", "leave-one-out"] = "temporal"
    at_most: int | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _nothing_is_ignored(self) -> Self:
        if self.name not in COLD and self.model_fields_set - {"name"}:
            raise ValueError(f"of and at_most are for: {', '.join(COLD)}")
        if self.name == "cold-users" and self.of == "leave-one-out" and self.at_most is not None:
            raise ValueError("at_most: cold-users of leave-one-out holds out all events of some users")
        return self


class Users(_Strict):
    """Which of the test users are asked for: those of a file, and of them a seeded sample."""

    limit: int | None = Field(default=None, ge=1)
    seed: int = Field(default=0, ge=0)
    file: Path | None = None


class Served(_Strict):
    """The served path, with everything fitted on the training part. What is not given is as in the settings."""

    orders: Literal["retriever", "slate", "click", "llm", "fused_without_llm", "fused", "served"] = "fused"
    """Which order is judged: that of one part, `fused` if the language model reads every slate, or `served`, where it
    reads only those in which it is expected to change the answer."""
    ranker: str | None = None
    template: str | None = None
    model: str | None = None
    engine: Literal["vllm", "transformers", "openai"] | None = None
    adapter: str | None = None
    policy: Policy = "fuse"

    @model_validator(mode="after")
    def _ranker_exists(self) -> Self:
        if self.ranker is not None and (problem := RANKERS.problem(self.ranker)):
            raise ValueError(problem)
        return self

    @property
    def needs_llm(self) -> bool:
        """Whether the language model is asked."""
        return self.orders not in WITHOUT_LLM


class System(_Strict):
    """One thing that ranks: exactly one of `retriever`, `blend`, `served` and `external`."""

    retriever: str | None = None
    """A module of `genrec.retrieval.retrievers`, tuned on validation unless `hyper_parameters` are given."""
    hyper_parameters: dict[str, Any] = Field(default_factory=dict)
    blend: tuple[str, ...] | None = Field(default=None, min_length=1)
    """Retrievers with weights chosen on validation."""
    served: Served | None = None
    external: Path | None = None
    """Ranked lists of another tool: TSV with a header `user item rank` or `user item score`."""

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        given = [kind for kind in ("retriever", "blend", "served", "external") if getattr(self, kind) is not None]
        if len(given) != 1:
            raise ValueError("give exactly one of: retriever, blend, served, external")
        if self.hyper_parameters and self.retriever is None:
            raise ValueError("hyper_parameters are for a retriever")
        problems = [problem for name in self.retrievers if (problem := RETRIEVERS.problem(name))]
        if problems:
            raise ValueError("\n".join(problems))
        return self

    @property
    def retrievers(self) -> tuple[str, ...]:
        """Names of the retrievers it is made of; none for served and external systems."""
        return (self.retriever,) if self.retriever is not None else self.blend or ()


class Subset(_Strict):
    """Some of the test users, named before anything was measured: all conditions that are given hold."""

    history_at_most: int | None = Field(default=None, ge=0)
    """Events that are known of the user."""
    target_events_at_most: int | None = Field(default=None, ge=0)
    """Training events of the item to be found; of several the one with the most."""
    hours: tuple[Annotated[int, Field(ge=0, le=23)], Annotated[int, Field(ge=1, le=24)]] | None = None
    """First hour and the hour after the last, in UTC, of the first thing that is to be found; [22, 4] is the night."""

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("give at least one condition")
        if self.hours is not None and self.hours[0] == self.hours[1]:
            raise ValueError("hours: the first and the one after the last must differ")
        return self


FOUND = frozenset({"ndcg", "hr", "mrr", "map", "recall"})
"""Metrics of what was found: 0 for a user whose slate holds nothing of it, whatever its order."""
GENRES = frozenset({"genre_calibration", "genre_diversity"})
"""Metrics that read the genres of items."""


class Suite(_Strict):
    """A suite file. `folder` is where it lies: paths in it are seen from there."""

    name: Name
    description: str
    source: Source | None = None
    split: SplitSpec = SplitSpec()
    users: Users = Users()
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = Field(default=(0,), min_length=1)
    """Whatever is drawn or starts by chance is drawn anew for each; figures are means over them."""
    candidates: int | None = Field(default=None, ge=1, le=1000)
    """How many items served systems read; as in the settings if not given."""
    settings: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Settings that go before those of the workspace, by section: `encoder: {name: hashing}`."""
    systems: dict[Name, System] = Field(min_length=1)
    metrics: tuple[str, ...] = Field(default=("ndcg@10", "hr@10", "mrr@10"), min_length=1)
    baseline: str | None = None
    """The system against which all others are compared where no `comparisons` are given; the first by default."""
    comparisons: tuple[tuple[str, str], ...] | None = None
    """Pairs of a system and what it is compared with."""
    controls: tuple[str, ...] = ()
    """What is spoiled in prompts to see what the language model lives on (`evaluation.controls`), with the first seed.
    """
    position_bias: bool = False
    """Whether slates are read in another order too, with the first seed under which any is read."""
    subsets: dict[Name, Subset] = Field(default_factory=dict)
    """Users who have a table of their own, and may stand in gates behind `on`."""
    reads: Literal["all", "decisive", "useful"] = "all"
    """decisive: the language model reads only slates that hold an item to be found, which spares most of the time and
    changes no metric of what was found; others (coverage, novelty, ...) are refused then. useful: it reads only slates
    that it reads in serving, so that the order `served` is exact, and `llm` and `fused` cannot be judged; where all
    metrics are of what was found, only the decisive ones of them."""
    queries: Literal["none", "simulated"] | Path = "none"
    """simulated: each query says in words what the user would look for; see `genrec.fitting.simulated_queries`. A
    file: what users said, TSV with a header `user query`."""
    groups: Path | None = None
    """Groups of users for `user_gap`, TSV with a header `user group`; without it they go by the length of history."""
    genre_field: str | None = None
    """Metadata field of genres, where it is none of genres, genre, categories and category."""
    gates: tuple[str, ...] = ()
    allow_leak: bool = False
    """Adapters may have been trained on what is to be found; the report then says so."""
    folder: Path = Field(default=Path(), exclude=True)

    @model_validator(mode="before")
    @classmethod
    def _current_names(cls, data: Any) -> Any:
        return current_name(data, "requests", "queries", "a suite")

    @property
    def is_decisive(self) -> bool:
        """Whether slates without an item to be found are spared."""
        return self.reads == "decisive" or (self.reads == "useful" and {name for name, _ in self.columns} <= FOUND)

    @property
    def columns(self) -> list[Column]:
        """The metrics, taken apart."""
        return columns_of(self.metrics)

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Systems that are compared, each with its baseline."""
        if self.comparisons is not None:
            return list(self.comparisons)
        baseline = self.baseline or next(iter(self.systems))
        return [(name, baseline) for name in self.systems if name != baseline]

    @property
    def parsed_gates(self) -> list[Gate]:
        """The gates, taken apart."""
        return [gates.parse(text) for text in self.gates]

    def settings_for(self, workspace_settings: Settings) -> Settings:
        """The settings of a workspace with those of the suite on top. SettingsError if they do not validate."""
        sections: dict[str, dict[str, Any]] = {name: dict(values) for name, values in self.settings.items()}
        if self.candidates is not None:
            sections.setdefault("retrieval", {})["candidates"] = self.candidates
        return overlaid(workspace_settings, sections)

    @model_validator(mode="after")
    def _names_exist(self) -> Self:
        problems = [f"metrics: {problem}" for text in self.metrics if (problem := _metric_problem(text))]
        named = {"baseline": [self.baseline] if self.baseline else []}
        named["comparisons"] = [name for pair in self.comparisons or () for name in pair]
        for place, names in named.items():
            problems += [f"{place}: there is no system {name!r}" for name in names if name not in self.systems]
        if self.reads == "decisive":
            found = {name for name, _ in self.columns} if not problems else set()
            problems += [f"metrics: {name} needs reads: all" for name in sorted(found - FOUND)]
        if self.reads == "useful":
            problems += [
                f"systems: {name}: the order {system.served.orders} needs reads: all or decisive"
                for name, system in self.systems.items()
                if system.served and system.served.orders in ("llm", "fused")
            ]
        problems += self._setting_problems()
        if len(set(self.seeds)) < len(self.seeds):
            problems.append("seeds: each once: twice the same looks steadier than it is")
        problems += self._gate_problems()
        problems += self._control_problems()
        if not problems:
            problems += self._group_problems()
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def _setting_problems(self) -> Iterator[str]:
        retrieval, ranking = (self.settings.get(section, {}) for section in ("retrieval", "ranking"))
        for name in retrieval.get("retrievers", ()):
            if problem := RETRIEVERS.problem(str(name)):
                yield f"settings.retrieval.retrievers: {problem}"
        if "ranker" in ranking and (problem := RANKERS.problem(str(ranking["ranker"]))):
            yield f"settings.ranking.ranker: {problem}"

    def _control_problems(self) -> Iterator[str]:
        yield from (f"controls: there is no control {name!r}" for name in self.controls if name not in CONTROLS)
        asked = any(system.served and system.served.needs_llm for system in self.systems.values())
        if not asked and (self.controls or self.position_bias):
            yield "controls and position_bias: no system asks a language model"

    def _group_problems(self) -> Iterator[str]:
        measured = {name for name, _ in self.columns}
        if self.groups is not None and "user_gap" not in measured:
            yield "groups: they are for the metric user_gap, which is not among the metrics"
        if self.genre_field is not None and not measured & GENRES:
            yield f"genre_field: it is for {' and '.join(sorted(GENRES))}, which are not among the metrics"

    def _gate_problems(self) -> Iterator[str]:
        for text in self.gates:
            try:
                gate = gates.parse(text)
            except SettingsError as error:
                yield f"gates: {error.message}"
                continue
            unknown = [name for name in gate.systems if name not in self.systems]
            if gate.other is None and unknown == [gate.name] and gate.name in gates.FACTS:
                if gate.subset is not None:
                    yield f"gates: {text!r}: {gate.name} is of the whole run: leave out 'on {gate.subset}'"
                continue
            yield from (f"gates: {text!r}: there is no system {name!r}" for name in unknown)
            if gate.metric not in self.metrics:
                yield f"gates: {text!r}: {gate.metric!r} is not among the metrics of the suite"
            if gate.subset is not None and gate.subset not in self.subsets:
                yield f"gates: {text!r}: there is no subset {gate.subset!r}"


def load(file: Path) -> Suite:
    """The suite of a file. SettingsError with the file and all that is wrong with it."""
    try:
        content, _ = load_yaml(file.read_text("utf-8"), file)
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file} cannot be read", "give the file of a suite (YAML, UTF-8)") from error
    if not isinstance(content, dict):
        raise SettingsError(f"{file} is no suite", f"look at one that ships: {_shipped()}")
    try:
        return Suite.model_validate({**content, "folder": file.resolve().parent})
    except ValidationError as error:
        raise SettingsError(
            f"{file} does not validate:\n{_problems(error)}", f"suites that ship: {_shipped()}"
        ) from None


def find(name: str) -> Path:
    """File of a suite: a path, or the name of one that ships. NotFoundError if there is none."""
    path = Path(name)
    if path.suffix in (SUFFIX, ".yml"):
        if path.is_file():
            return path
        raise NotFoundError(f"there is no file {path}", f"suites that ship: {_shipped()}")
    shipped = shipped_folder() / f"{name}{SUFFIX}"
    if _NAME.fullmatch(name) and shipped.is_file():
        return shipped
    raise NotFoundError(f"there is no suite {name!r}", f"give a .yaml file, or one that ships: {_shipped()}")


def shipped_folder() -> Path:
    """Where the suites that ship lie: in the wheel, or in the source checkout."""
    installed = Path(str(importlib.resources.files("genrec"))) / "_assets" / "eval" / "suites"
    return installed if installed.is_dir() else Path(__file__).resolve().parents[4] / "eval" / "suites"


def shipped() -> list[str]:
    """Names of the suites that ship."""
    return sorted(path.stem for path in shipped_folder().glob(f"*{SUFFIX}"))


def overlaid(settings: Settings, sections: dict[str, dict[str, Any]]) -> Settings:
    """The settings with some values replaced; validated, and without a look at the environment."""
    whole = settings.model_dump()
    problems = [f"  settings: there is no section {name!r}" for name in sections if name not in whole]
    chosen = dict[str, Any]()
    for name, values in sections.items():
        if name in whole:
            try:
                chosen[name] = type(getattr(settings, name)).model_validate({**whole[name], **values})
            except ValidationError as error:
                problems.append(_problems(error, f"settings.{name}."))
    if problems:
        raise SettingsError("settings do not validate:\n" + "\n".join(problems), "mend the settings of the suite")
    return settings.model_copy(update=chosen)


def _metric_problem(text: str) -> str | None:
    try:
        columns_of([text])
    except GenrecError as error:
        return error.message
    return None


def _problems(error: ValidationError, prefix: str = "") -> str:
    lines = []
    for problem in error.errors():
        place = ".".join(str(part) for part in problem["loc"])
        # What a validator of the whole suite says is a line for each problem, with its place.
        texts = problem["msg"].removeprefix("Value error, ").split("\n")
        lines += [f"  {prefix}{place}: {text}" if place else f"  {prefix}{text}" for text in texts]
    return "\n".join(lines)


def _shipped() -> str:
    return ", ".join(shipped()) or "none"
