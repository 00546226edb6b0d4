"""Is the new template better? Both rank the same slates of the same users, and every figure is paired by user."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from genrec.evaluation import significance, tables
from genrec.evaluation.catalogue import catalogue_facts
from genrec.evaluation.lists import Values
from genrec.evaluation.replay import ReplayedRequest
from genrec.evaluation.suite.context import EvaluationContext
from genrec.evaluation.suite.runner import Outcome
from genrec.evaluation.suite.schema import Suite
from genrec.evaluation.suite.served import Load, ranked_of
from genrec.evaluation.templates.changes import rank_changes
from genrec.evaluation.templates.reading import Read, read_by
from genrec.evaluation.templates.sides import Side
from genrec.evaluation.validity import AGREEMENT, VALIDITY
from genrec.evaluation.values import UserValues
from genrec.evaluation.verdicts import direction, verdicts

FOUND = (("ndcg", 10), ("hr", 10))
COVERAGE = (("coverage", 10),)
USUAL = 0.95
DEFINITIONS = {
    "validity": VALIDITY,
    "agreement": AGREEMENT,
    "prompt tokens": "tokens of all prompts of a request",
    "computed tokens": "the same, those of a prefix that prompts share counted once",
    "llm ms": "milliseconds in which the model read a slate, when it was first read; what lasted longer than 95 % of "
    "the template's requests counts as that long, so that one wait for a model to load is no property of a template",
}
AS_SERVED = " as served"
"""Behind the name of a metric: of the order in which the model's score is weighed with all others."""


def evaluate_prompts(
    pair: tuple[Side, Side],
    suite: Suite,
    context: EvaluationContext,
    *,
    load: Load,
    seeds: Sequence[int] = (),
    fused: bool = False,
) -> Outcome:
    """Compares a new template with another one on the test users of a suite's context, for one or more seeds.

    Judged is the order in which the model alone puts a slate, which is what a template can change; `fused` also judges
    the order that is served, with the weight of the model learned for each template. What is fitted, read and answered
    is kept in the workspace's cache: an interrupted run goes on where it stopped, and a repeated one costs seconds.
    Raises what `read_by` raises.
    """
    chosen = tuple(seeds) or suite.seeds[:1]
    reads, said = read_by(pair, suite, context, chosen, load, fused=fused)
    every = not suite.is_decisive
    values = {read.side.name: _values(read, context, fused) for read in reads}
    columns = [*_found(fused), *DEFINITIONS]
    new, old = (side.name for side in pair)
    table = tables.value_table(values, columns, [(new, old)])
    if every:
        table = _with_coverage(table, reads, context, (new, old))
        columns.append(tables.column_name(COVERAGE[0]))
    directions = {column: direction(column.removesuffix(AS_SERVED)) for column in columns}
    found = verdicts(table, [(new, old)], columns, directions)
    result = {
        "description": f"{new} against {old}, on the slates of the suite {suite.name}",
        "suite": suite.model_dump(mode="json", exclude={"description"}),
        "prompt": {**pair[0].facts(), "against": pair[1].facts(), **_headline(found[0])},
        "users": len(context.split.users),
        "split": context.split.name,
        "seeds": list(chosen),
        "systems": table,
        "verdicts": found,
        "headline": columns[:2],
        "warnings": [*context.warnings, *said],
        "definitions": {**tables.definitions([*FOUND, *COVERAGE[: int(every)]]), **DEFINITIONS},
        "templates": [{"name": read.side.name, **read.side.facts()} for read in reads],
        "served": {read.side.name: read.described for read in reads},
        "ranks": _changes(reads, context),
    }
    user_ids = tuple(str(user) for user in context.split.train.user_ids[context.split.users])
    per_user = {name: significance.over_seeds(one)[0] for name, one in values.items()}
    kept = UserValues(user_ids, (*_found(fused), *DEFINITIONS), per_user)
    return Outcome(result, kept)


def compare_ranks(
    pair: tuple[Side, Side], suite: Suite, context: EvaluationContext, *, load: Load
) -> tuple[dict[str, Any], list[str]]:
    """How the new template orders the slates of some test users beside the other one, JSON-ready, and warnings.

    It shares all caches with `evaluate_prompts`.
    """
    reads, said = read_by(pair, suite, context, suite.seeds[:1], load)
    return _changes(reads, context), [*context.warnings, *said]


def _changes(reads: Sequence[Read], context: EvaluationContext) -> dict[str, Any]:
    """How the first (new) of two templates orders the slates that both have read, with the titles of what moves."""
    new, old = ([one.lists["llm"] if one.asked else [] for one in read.replays[0]] for read in reads)
    titles = {item.id: item.title for item in context.items}
    found = asdict(rank_changes(old, new))
    movers = [{**mover, "title": titles.get(mover["item_id"], "")} for mover in found["movers"]]
    return {**found, "tau_ci": found["tau_ci"] and list(found["tau_ci"]), "movers": movers}


def _found(fused: bool) -> list[str]:
    names = [tables.column_name(column) for column in FOUND]
    return names + ([name + AS_SERVED for name in names] if fused else [])


def _values(read: Read, context: EvaluationContext, fused: bool) -> Values:
    """Values [s, m, c] of the columns of `_found` and DEFINITIONS."""
    orders = ["llm", "served"] if fused else ["llm"]
    ranked = [
        tables.user_values(
            np.stack([ranked_of(replay, order, context) for replay in read.replays]), context.split.targets, FOUND
        )
        for order in orders
    ]
    costs = np.array([[_costs(one) for one in replay] for replay in read.replays]).reshape(*ranked[0].shape[:2], -1)
    costs[:, :, -1] = usual_times(costs[:, :, -1])
    return np.concatenate([*ranked, costs], axis=2)


def _costs(one: ReplayedRequest) -> list[float]:
    """One value for each of DEFINITIONS; NaN where the model was not asked, and for a time that is not known."""
    if not one.asked:
        return [np.nan] * len(DEFINITIONS)
    valid = float(one.fallback is None and not any(one.wrong))
    tau = np.nan if one.agreement is None else one.agreement
    return [valid, tau, one.prompt_tokens, one.computed_tokens, one.stage_ms.get("llm", np.nan)]


def usual_times(times: Values) -> Values:
    """Times [s, m], those beyond the 95th percentile cut down to it, averaged over the seeds in which they are known.

    A seed may find all that it reads in the cache of another one.
    """
    if not np.isfinite(times).any():
        return times
    usual: Values = np.minimum(times, np.nanquantile(times, USUAL, method="lower"))
    return np.broadcast_to(significance.over_seeds(usual[:, :, None])[0][:, 0], times.shape)


def _with_coverage(
    table: tables.Table, reads: Sequence[Read], context: EvaluationContext, pair: tuple[str, str]
) -> tables.Table:
    lists = {read.side.name: np.stack([ranked_of(replay, "llm", context) for replay in read.replays]) for read in reads}
    facts = catalogue_facts(context.split, context.items)
    covered = tables.ranking_table(lists, context.split.targets, COVERAGE, facts=facts, comparisons=[pair])
    return {name: {**row, **covered[name]} for name, row in table.items()}


def _headline(found: dict[str, Any]) -> dict[str, Any]:
    """What the list of templates says of the last evaluation."""
    return {key: found.get(key) for key in ("metric", "before", "after", "mean", "low", "high", "verdict")}
