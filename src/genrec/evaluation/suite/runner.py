"""Runs a suite: every system ranks for the same users, then all are judged together. Interrupted runs resume."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from genrec.artifacts.workspace import Workspace
from genrec.data.interactions import BoolArray, IntArray
from genrec.data.store import Store
from genrec.evaluation.breakdown import breakdown
from genrec.evaluation.controls import DEFINITIONS as CONTROL_DEFINITIONS
from genrec.evaluation.controls import Controlled
from genrec.evaluation.protocol import prepare, read_users, sampled, short_lists
from genrec.evaluation.suite import answers, gates, position
from genrec.evaluation.suite.bench import EvaluationContext
from genrec.evaluation.suite.cost import cost_curve
from genrec.evaluation.suite.external import ranked_by, read_lists
from genrec.evaluation.suite.judge import Metrics, dimensions, flat, subset_masks
from genrec.evaluation.suite.requests import requests_of
from genrec.evaluation.suite.retrievers import Retrieval
from genrec.evaluation.suite.schema import Served, Suite
from genrec.evaluation.suite.served import Load, ReplayedRequest, ServedPath, ranked_of
from genrec.evaluation.suite.user_groups import groups_of
from genrec.evaluation.tables import Table, definitions
from genrec.evaluation.values import UserValues
from genrec.settings import Settings
from genrec.text.encoders import Encoder, Progress

DECISIVE = (
    "the language model read only slates that hold an item to be found: in the others its order changes no metric here"
)
USEFUL = (
    "the language model read only slates that it reads in serving, where it is expected to change the answer: all of "
    "what is said of it is of those."
)
HEADLINE = 4
"""How many metrics of the suite are drawn."""
SHORTEST = 20
"""Ranked lists are at least this long, so that suites which differ in a metric share them in the cache."""


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a run found: the record's own part, and the figures of each user."""

    result: dict[str, Any]
    values: UserValues

    @property
    def passed(self) -> bool:
        """Whether all gates hold."""
        return all(gate["passed"] for gate in self.result["gates"])


@dataclass(eq=False)
class _Ranked:
    """What has been ranked so far: lists [s, m, K] of each system, and of each control of a system."""

    lists: dict[str, IntArray] = field(default_factory=dict)
    controls: dict[str, dict[str, IntArray]] = field(default_factory=dict)
    fitted: dict[str, Any] = field(default_factory=dict)
    served: dict[str, Any] = field(default_factory=dict)
    recall: dict[str, float] = field(default_factory=dict)
    cost: dict[str, Any] = field(default_factory=dict)
    position: dict[str, Any] = field(default_factory=dict)
    walked: list[ReplayedRequest] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def run_suite(
    suite: Suite,
    workspace: Workspace,
    store: Store,
    settings: Settings,
    *,
    load: Load,
    users: Sequence[str] | None = None,
    limit: int | None = None,
    encoder: Encoder | None = None,
    progress: Progress | None = None,
) -> Outcome:
    """Runs all systems of a suite on the log of a workspace.

    `users` and `limit` go before those of the suite. What is fitted, ranked and read is kept in the workspace's cache,
    so a run that was interrupted goes on where it stopped, and one that is repeated costs seconds. `load` gives the
    language model of some settings. Raises DataError without test users, SettingsError for settings that do not
    validate and for adapters that may have seen what is to be found, ModelError if a language model answers nothing.
    """
    bench, warnings = bench_of(suite, workspace, store, settings, users, limit, encoder, progress)
    requests = requests_of(suite, bench)
    groups, of_groups = groups_of(suite, bench)
    ranked = _Ranked(warnings=[*warnings, *requests.warnings, *of_groups])
    _rank_plain(suite, bench, ranked)
    _rank_served(suite, bench, ranked, load, requests.texts)
    # In the order of the suite, whatever was ranked first.
    ranked.lists = {name: ranked.lists[name] for name in suite.systems}
    judge = Metrics(bench, suite.columns, suite.pairs, groups, suite.genre_field)
    values = judge.user_values(ranked.lists)
    return Outcome({**_result(suite, bench, ranked, judge, values), "requests": requests.name}, values)


def bench_of(
    suite: Suite,
    workspace: Workspace,
    store: Store,
    settings: Settings,
    users: Sequence[str] | None = None,
    limit: int | None = None,
    encoder: Encoder | None = None,
    progress: Progress | None = None,
) -> tuple[EvaluationContext, list[str]]:
    """The log, split and test users of a suite, and what a reader must know of them. DataError without test users."""
    interactions, chosen = store.interactions(), suite.settings_for(settings)
    if users is None and suite.users.file is not None:
        users = read_users(suite.folder / suite.users.file)
    spec = suite.split
    protocol = prepare(interactions, spec.name, users, of=spec.of, at_most=spec.at_most)
    split, drawn = sampled(protocol.split, limit or suite.users.limit, suite.users.seed)
    bench = EvaluationContext(
        workspace.root,
        store,
        store.fingerprint(),
        interactions,
        list(store.all_items()),
        protocol.held,
        split,
        chosen,
        max(SHORTEST, chosen.retrieval.candidates, *(k for _, k in suite.columns)),
        encoder,
        progress,
    )
    longest = max(k for _, k in suite.columns) if any(system.served for system in suite.systems.values()) else 0
    return bench, [*protocol.warnings, *drawn, *short_lists(chosen.retrieval.candidates, longest)]


def _rank_plain(suite: Suite, bench: EvaluationContext, ranked: _Ranked) -> None:
    """Retrievers, blends and lists of other tools."""
    for name, system in suite.systems.items():
        if system.external is not None:
            lists, said = ranked_by(read_lists(suite.folder / system.external), bench.split, bench.k)
            ranked.lists[name] = np.stack([lists] * len(suite.seeds))
            ranked.warnings += said
        elif system.retrievers:
            retrieval = Retrieval(name, system, bench)
            ranked.lists[name] = np.stack([retrieval.lists(seed) for seed in suite.seeds])
            ranked.fitted[name] = retrieval.record


def _rank_served(
    suite: Suite, bench: EvaluationContext, ranked: _Ranked, load: Load, requests: Sequence[str | None]
) -> None:
    """Systems on the served path: those that differ in the order only share a walk, and no two models are loaded."""
    groups: dict[Served, dict[str, Served]] = {}
    for name, system in suite.systems.items():
        if system.served is not None:
            alike = system.served.model_copy(update={"orders": "fused"})
            groups.setdefault(alike, {})[name] = system.served
    for served, members in groups.items():
        llm = any(member.needs_llm for member in members.values())
        path = ServedPath(
            bench,
            served,
            llm=llm,
            load=load,
            requests=requests,
            allow_leak=suite.allow_leak,
            decisive=suite.is_decisive,
            useful=suite.reads == "useful",
        )
        with path.opened():
            walks = [path.walk(seed) for seed in suite.seeds]
            for name, member in members.items():
                ranked.lists[name] = _stacked(walks, member.orders, bench)
                ranked.recall[name] = _recall(walks, bench)
            if llm:
                walked = [one for walk in walks for one in walk]
                ranked.walked += walked
                ranked.warnings += answers.fallbacks(walked)
                _control(suite, bench, ranked, path, members)
                _examine(suite, bench, ranked, path, members, walks)
        for name in members:
            ranked.served[name] = path.describe()
        ranked.warnings += path.warnings


def _control(
    suite: Suite, bench: EvaluationContext, ranked: _Ranked, path: ServedPath, members: dict[str, Served]
) -> None:
    """Walks again under each control, for the systems of the path that ask the model."""
    seed = suite.seeds[0]
    for control in suite.controls:
        walk = path.walk(seed, control, partial(Controlled, control=control, seed=seed))
        for name, member in members.items():
            if member.needs_llm:
                ranked.controls.setdefault(name, {})[control] = _stacked([walk], member.orders, bench)


def _examine(
    suite: Suite,
    bench: EvaluationContext,
    ranked: _Ranked,
    path: ServedPath,
    members: dict[str, Served],
    walks: Sequence[Sequence[ReplayedRequest]],
) -> None:
    """What the order of the slate does to the model, and what reading fewer slates would cost."""
    for name, member in members.items():
        if member.orders in ("fused", "served") and not ranked.cost and suite.reads != "useful":
            ranked.cost = cost_curve(walks, bench)
        if member.needs_llm and suite.position_bias:
            place = next((n for n, walk in enumerate(walks) if any(one.was_read for one in walk)), 0)
            seed, walk = suite.seeds[place], walks[place]
            again = path.walk(seed, position.NAME, position.Reordered)
            found = position.position_bias(path.ranker_name, walk, again, seed, bench, 10)
            ranked.position |= {} if found is None else {name: found}
            break


def _recall(walks: Sequence[Sequence[ReplayedRequest]], bench: EvaluationContext) -> float:
    """Share of what is to be found that is in the slate: no order of it can find more."""
    found = [
        np.isin(target, [bench.index[item_id] for item_id in one.lists["slate"]]).mean()
        for walk in walks
        for one, target in zip(walk, bench.split.targets, strict=True)
    ]
    return round(float(np.mean(found)), 6)


def _stacked(walks: Sequence[Sequence[ReplayedRequest]], order: str, bench: EvaluationContext) -> IntArray:
    return np.stack([ranked_of(walk, order, bench) for walk in walks])


def _result(
    suite: Suite, bench: EvaluationContext, ranked: _Ranked, judge: Metrics, values: UserValues
) -> dict[str, Any]:
    table, masks = judge.table(ranked.lists), subset_masks(suite.subsets, bench)
    result: dict[str, Any] = {
        "suite": suite.model_dump(mode="json", exclude={"description"}),
        "description": suite.description,
        "systems": table,
        "users": len(bench.split.users),
        "split": bench.split.name,
        "items": bench.interactions.n_items,
        "seeds": list(suite.seeds),
        "subsets": {
            name: {"users": int(mask.sum()), "systems": judge.table(ranked.lists, mask)} for name, mask in masks.items()
        },
        "comparisons": flat(table),
        "breakdown": breakdown(values.of_system, values.columns, dimensions(bench), suite.pairs),
        "controls": _controls(ranked, judge),
        "warnings": ranked.warnings,
        "headline": list(suite.metrics[:HEADLINE]),
        "definitions": {
            **definitions(suite.columns),
            **{name: CONTROL_DEFINITIONS[name] for name in suite.controls},
            **({"reads": " ".join(reads)} if (reads := _reads(suite)) else {}),
            "list length": f"catalogue lists have {bench.k} places, lists of the served path those of the slate",
        },
        "fitted": ranked.fitted,
        "served": ranked.served,
        "candidate_recall": ranked.recall,
        **({"cost_curve": ranked.cost} if ranked.cost else {}),
        **_position(ranked.position),
        **answers.facts(ranked.walked),
    }
    result["gates"] = [asdict(verdict) for verdict in _judged(suite, ranked, judge, masks, result)]
    return result


def _reads(suite: Suite) -> list[str]:
    return [*([USEFUL] if suite.reads == "useful" else []), *([DECISIVE] if suite.is_decisive else [])]


def _position(found: dict[str, Any]) -> dict[str, Any]:
    """Figures by label, and for gates the largest effect of shuffling as a share of nDCG, whatever its sign."""
    if not found:
        return {}
    effects = [one["shuffle_effect"]["mean"] for one in found.values()]
    known = [abs(effect) for effect in effects if effect is not None]
    return {"position_bias": found, "label_position": {"shuffle_effect": max(known, default=None)}}


def _judged(
    suite: Suite, ranked: _Ranked, judge: Metrics, masks: dict[str, BoolArray], result: dict[str, Any]
) -> list[gates.Verdict]:
    def difference(name: str, other: str, metric: str, subset: str | None) -> dict[str, float] | None:
        rows = None if subset is None else masks.get(subset)
        return judge.difference(ranked.lists, (name, other), metric, rows)

    return gates.judge(suite.parsed_gates, result, difference)


def _controls(ranked: _Ranked, judge: Metrics) -> dict[str, Table]:
    """For each system that asks the model: itself with the first seed, and under each control with the difference."""
    tables: dict[str, Table] = {}
    for name, controls in ranked.controls.items():
        pairs = [(control, name) for control in controls]
        lists = {name: ranked.lists[name][:1], **controls}
        tables[name] = replace(judge, comparisons=pairs).table(lists)
    return tables
