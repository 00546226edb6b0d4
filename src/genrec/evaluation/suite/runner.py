"""Suite runner: every system ranks for the same users, then all are judged together. Interrupted runs resume."""

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
from genrec.evaluation.controls import CONTROLS
from genrec.evaluation.controls import DEFINITIONS as CONTROL_DEFINITIONS
from genrec.evaluation.protocol import prepare, read_users, sampled, short_lists
from genrec.evaluation.replay import ReplayedRequest
from genrec.evaluation.suite import answers, gates, position
from genrec.evaluation.suite.context import EvaluationContext
from genrec.evaluation.suite.external import ranked_by, read_lists
from genrec.evaluation.suite.judge import Metrics, dimensions, flat, subset_masks
from genrec.evaluation.suite.requests import groups_of, requests_of
from genrec.evaluation.suite.retrievers import Retrieval
from genrec.evaluation.suite.schema import Served, Suite
from genrec.evaluation.suite.served import Load, ServedPath, ranked_of
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
    context = context_of(suite, workspace, store, settings, users, limit, encoder, progress)
    requests = requests_of(suite, context)
    groups, of_groups = groups_of(suite, context)
    run = _Run(suite, context, load, requests.texts, [*context.warnings, *requests.warnings, *of_groups])
    run.rank()
    judge = Metrics(context, suite.columns, suite.pairs, groups, suite.genre_field)
    values = judge.user_values(run.lists)
    return Outcome({**_result(run, judge, values), "requests": requests.name}, values)


def context_of(
    suite: Suite,
    workspace: Workspace,
    store: Store,
    settings: Settings,
    users: Sequence[str] | None = None,
    limit: int | None = None,
    encoder: Encoder | None = None,
    progress: Progress | None = None,
) -> EvaluationContext:
    """The log, split and test users of a suite. DataError without test users."""
    interactions, chosen = store.interactions(), suite.settings_for(settings)
    if users is None and suite.users.file is not None:
        users = read_users(suite.folder / suite.users.file)
    spec = suite.split
    protocol = prepare(interactions, spec.name, users, of=spec.of, at_most=spec.at_most)
    split, drawn = sampled(protocol.split, limit or suite.users.limit, suite.users.seed)
    longest = max(k for _, k in suite.columns) if any(system.served for system in suite.systems.values()) else 0
    return EvaluationContext(
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
        (*protocol.warnings, *drawn, *short_lists(chosen.retrieval.candidates, longest)),
    )


@dataclass(eq=False)
class _Run:
    """What has been ranked so far: `lists` [s, m, K] of each system, `controls` of each control of a system."""

    suite: Suite
    context: EvaluationContext
    load: Load
    requests: Sequence[str | None]
    warnings: list[str]
    lists: dict[str, IntArray] = field(default_factory=dict)
    controls: dict[str, dict[str, IntArray]] = field(default_factory=dict)
    fitted: dict[str, Any] = field(default_factory=dict)
    served: dict[str, Any] = field(default_factory=dict)
    recall: dict[str, float] = field(default_factory=dict)
    cost: dict[str, Any] = field(default_factory=dict)
    position: dict[str, Any] = field(default_factory=dict)
    replayed: list[ReplayedRequest] = field(default_factory=list)

    def rank(self) -> None:
        """Ranks with every system; those on one served path share a replay, and no two models are loaded at once."""
        paths: dict[Served, dict[str, Served]] = {}
        for name, system in self.suite.systems.items():
            if system.external is not None:
                found, said = ranked_by(
                    read_lists(self.suite.folder / system.external), self.context.split, self.context.k
                )
                self.lists[name] = np.stack([found] * len(self.suite.seeds))
                self.warnings += said
            elif system.served is None:
                retrieval = Retrieval(name, system, self.context)
                self.lists[name] = np.stack([retrieval.lists(seed) for seed in self.suite.seeds])
                self.fitted[name] = retrieval.record
            else:
                paths.setdefault(system.served.model_copy(update={"orders": "fused"}), {})[name] = system.served
        for served, members in paths.items():
            self._serve(served, members)
        # In the order of the suite, whatever was ranked first.
        self.lists = {name: self.lists[name] for name in self.suite.systems}

    def _serve(self, served: Served, members: dict[str, Served]) -> None:
        suite, context = self.suite, self.context
        readers = [name for name, member in members.items() if member.needs_llm]
        path = ServedPath(
            context,
            served,
            llm=bool(readers),
            load=self.load,
            requests=self.requests,
            allow_leak=suite.allow_leak,
            decisive=suite.is_decisive,
            useful=suite.reads == "useful",
        )
        with path.opened():
            replays = [path.replay(seed) for seed in suite.seeds]
            for name, member in members.items():
                self.lists[name] = np.stack([ranked_of(replay, member.orders, context) for replay in replays])
                self.recall[name] = _recall(replays, context)
            if readers:
                replayed = [one for replay in replays for one in replay]
                self.replayed += replayed
                self.warnings += answers.fallbacks(replayed)
                self._control(path, {name: members[name].orders for name in readers})
                if any(members[name].orders in ("fused", "served") for name in readers):
                    self.cost = self.cost or (answers.cost_curve(replays, context) if suite.reads != "useful" else {})
                if suite.position_bias:
                    self._shuffle(path, readers[0], replays)
        self.served |= dict.fromkeys(members, path.describe())
        self.warnings += path.warnings

    def _control(self, path: ServedPath, orders: dict[str, str]) -> None:
        """Replays under each control with the first seed, for the systems of the path that ask the model."""
        seed = self.suite.seeds[0]
        for control in self.suite.controls:
            replay = path.replay(seed, control, partial(CONTROLS[control], seed=seed))
            for name, order in orders.items():
                self.controls.setdefault(name, {})[control] = ranked_of(replay, order, self.context)[None]

    def _shuffle(self, path: ServedPath, name: str, replays: Sequence[Sequence[ReplayedRequest]]) -> None:
        """What the order of the slate does to the model, with the first seed under which it read any."""
        place = next((n for n, replay in enumerate(replays) if any(one.was_read for one in replay)), 0)
        seed, replay = self.suite.seeds[place], replays[place]
        again = path.replay(seed, position.NAME, position.reordered)
        found = position.position_bias(path.ranker_name, replay, again, seed, self.context, 10)
        self.position |= {} if found is None else {name: found}


def _recall(replays: Sequence[Sequence[ReplayedRequest]], context: EvaluationContext) -> float:
    """Share of what is to be found that is in the slate: no order of it can find more."""
    found = [
        np.isin(target, [context.index[item_id] for item_id in one.lists["slate"]]).mean()
        for replay in replays
        for one, target in zip(replay, context.split.targets, strict=True)
    ]
    return round(float(np.mean(found)), 6)


def _result(run: _Run, judge: Metrics, values: UserValues) -> dict[str, Any]:
    suite, context = run.suite, run.context
    table, masks = judge.table(run.lists), subset_masks(suite.subsets, context)
    reads = [*([USEFUL] if suite.reads == "useful" else []), *([DECISIVE] if suite.is_decisive else [])]
    result: dict[str, Any] = {
        "suite": suite.model_dump(mode="json", exclude={"description"}),
        "description": suite.description,
        "systems": table,
        "users": len(context.split.users),
        "split": context.split.name,
        "items": context.interactions.n_items,
        "seeds": list(suite.seeds),
        "subsets": {
            name: {"users": int(mask.sum()), "systems": judge.table(run.lists, mask)} for name, mask in masks.items()
        },
        "comparisons": flat(table),
        "breakdown": breakdown(values.of_system, values.columns, dimensions(context), suite.pairs),
        "controls": _controls(run, judge),
        "warnings": run.warnings,
        "headline": list(suite.metrics[:HEADLINE]),
        "definitions": {
            **definitions(suite.columns),
            **{name: CONTROL_DEFINITIONS[name] for name in suite.controls},
            **({"reads": " ".join(reads)} if reads else {}),
            "list length": f"catalogue lists have {context.k} places, lists of the served path those of the slate",
        },
        "fitted": run.fitted,
        "served": run.served,
        "candidate_recall": run.recall,
        **({"cost_curve": run.cost} if run.cost else {}),
        **_position(run.position),
        **answers.facts(run.replayed),
    }
    result["gates"] = [asdict(verdict) for verdict in _judged(run, judge, masks, result)]
    return result


def _position(found: dict[str, Any]) -> dict[str, Any]:
    """Figures by label, and for gates the largest effect of shuffling as a share of nDCG, whatever its sign."""
    if not found:
        return {}
    effects = [one["shuffle_effect"]["mean"] for one in found.values()]
    known = [abs(effect) for effect in effects if effect is not None]
    return {"position_bias": found, "label_position": {"shuffle_effect": max(known, default=None)}}


def _judged(run: _Run, judge: Metrics, masks: dict[str, BoolArray], result: dict[str, Any]) -> list[gates.Verdict]:
    def difference(name: str, other: str, metric: str, subset: str | None) -> dict[str, float] | None:
        rows = None if subset is None else masks.get(subset)
        return judge.difference(run.lists, (name, other), metric, rows)

    return gates.judge(run.suite.parsed_gates, result, difference)


def _controls(run: _Run, judge: Metrics) -> dict[str, Table]:
    """For each system that asks the model: itself with the first seed, and under each control with the difference."""
    tables: dict[str, Table] = {}
    for name, controls in run.controls.items():
        pairs = [(control, name) for control in controls]
        tables[name] = replace(judge, comparisons=pairs).table({name: run.lists[name][:1], **controls})
    return tables
