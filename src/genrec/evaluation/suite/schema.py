"""Suite: what a file says that ranks for test users by several systems, and judges their lists."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from genrec.artifacts.renames import current_name
from genrec.data.cold_splits import COLD
from genrec.errors import GenrecError
from genrec.evaluation import metrics
from genrec.evaluation.controls import CONTROLS
from genrec.evaluation.suite import gates
from genrec.evaluation.suite.base import BaseSuite, Name, Strict, overlaid, read_suite
from genrec.evaluation.suite.gates import Gate
from genrec.evaluation.tables import Column, columns_of
from genrec.llm.loading import ENGINES
from genrec.ranking.base import RANKERS
from genrec.retrieval.base import RETRIEVERS
from genrec.settings import Policy, Settings

WITHOUT_LLM = ("retriever", "slate", "fused_without_llm")
"""Orders of a served system for which no language model is asked."""


class SplitSpec(Strict):
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


class Users(Strict):
    """Which of the test users are asked for: those of a file, and of them a seeded sample."""

    limit: int | None = Field(default=None, ge=1)
    seed: int = Field(default=0, ge=0)
    file: Path | None = None


class Served(Strict):
    """The served path, with everything fitted on the training part. What is not given is as in the settings."""

    orders: Literal["retriever", "slate", "llm", "fused_without_llm", "fused", "served"] = "fused"
    """Which order is judged: that of one part, `fused` if the language model reads every slate, or `served`, where it
    reads only those in which it is expected to change the answer."""
    ranker: str | None = None
    template: str | None = None
    model: str | None = None
    engine: str | None = None
    adapter: str | None = None
    policy: Policy = "fuse"

    @model_validator(mode="after")
    def _names_exist(self) -> Self:
        named = ((RANKERS, self.ranker), (ENGINES, self.engine))
        problems = [problem for kind, name in named if name is not None and (problem := kind.problem(name))]
        if problems:
            raise ValueError("\n".join(problems))
        return self

    @property
    def needs_llm(self) -> bool:
        """Whether the language model is asked."""
        return self.orders not in WITHOUT_LLM


class System(Strict):
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


class Subset(Strict):
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


class Suite(BaseSuite):
    """A suite that ranks for test users and judges the lists."""

    split: SplitSpec = SplitSpec()
    users: Users = Users()
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = Field(default=(0,), min_length=1)
    """Whatever is drawn or starts by chance is drawn anew for each; figures are means over them."""
    candidates: int | None = Field(default=None, ge=1, le=1000)
    """How many items served systems read; as in the settings if not given."""
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
    allow_leak: bool = False
    """Adapters may have been trained on what is to be found; the report then says so."""

    @model_validator(mode="before")
    @classmethod
    def _current_names(cls, data: Any) -> Any:
        return current_name(data, "requests", "queries", "a suite")

    @property
    def is_decisive(self) -> bool:
        """Whether slates without an item to be found are spared."""
        found_only = all(metrics.reads(name) == "targets" for name, _ in self.columns)
        return self.reads == "decisive" or (self.reads == "useful" and found_only)

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
            beyond = sorted(name for name in found if metrics.reads(name) != "targets")
            problems += [f"metrics: {name} needs reads: all" for name in beyond]
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
        if self.genre_field is not None and all(metrics.reads(name) != "genres" for name in measured):
            of_genres = [name for name in metrics.names("user") if metrics.reads(name) == "genres"]
            yield f"genre_field: it is for {' and '.join(of_genres)}, which are not among the metrics"

    def _gate_problem(self, gate: Gate) -> str | None:
        unknown = [name for name in gate.systems if name not in self.systems]
        if gate.other is None and unknown == [gate.name] and gate.name in gates.FACTS:
            of_run = f"{gate.name} is of the whole run: leave out 'on {gate.subset}'"
            return None if gate.subset is None else of_run
        problems = [f"there is no system {name!r}" for name in unknown]
        if gate.metric not in self.metrics:
            problems.append(f"{gate.metric!r} is not among the metrics of the suite")
        if gate.subset is not None and gate.subset not in self.subsets:
            problems.append(f"there is no subset {gate.subset!r}")
        return "; ".join(problems) or None


def load(file: Path) -> Suite:
    """The suite of a file. SettingsError with the file and all that is wrong with it."""
    return read_suite(file, Suite)


def _metric_problem(text: str) -> str | None:
    if problem := metrics.problem(text):
        return problem
    try:
        columns_of([text])
    except GenrecError as error:
        return error.message
    return None
