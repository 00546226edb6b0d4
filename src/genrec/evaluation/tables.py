"""From ranked lists to a table: every metric of every system with its interval, and differences to a baseline."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from genrec.data.interactions import IntArray
from genrec.errors import SettingsError
from genrec.evaluation import metrics, significance
from genrec.evaluation.catalogue import CatalogueFacts
from genrec.evaluation.metrics import Values

Table = dict[str, dict[str, Any]]
"""System -> {"ndcg@10": mean, "ndcg@10_ci": [low, high], ...}; see `ranking_table` for the keys."""

Column = tuple[str, int]
"""A metric of ranked lists and its k."""

Comparison = tuple[str, str]
"""A system and the baseline that it is compared with."""


@dataclass(frozen=True, eq=False)
class _Measured:
    """Columns of one system or difference: value [c], bootstrapped values [resamples, c], value of each seed [s, c]."""

    value: Values
    draws: Values
    seeds: Values


def column_name(column: Column) -> str:
    """`ndcg@10`."""
    return f"{column[0]}@{column[1]}"


def columns_of(names: Sequence[str]) -> list[Column]:
    """Columns from names such as `ndcg@10`. NotFoundError or SettingsError if one is no metric of ranked lists."""
    parsed = [metrics.parse(name) for name in names]
    wrong = [name for name, _ in parsed if metrics.kind_of(name) not in metrics.LIST_KINDS]
    if wrong:
        known = sorted(name for kind in metrics.LIST_KINDS for name in metrics.names(kind))
        raise SettingsError(f"{', '.join(wrong)} does not judge ranked lists", f"metrics that do: {', '.join(known)}")
    return [(name, k) for name, k in parsed if k is not None]


def definitions(columns: Sequence[Column]) -> dict[str, str]:
    """What each metric of the columns means."""
    return {name: metrics.definition(name) for name, _ in columns}


def ranking_table(
    systems: Mapping[str, IntArray],
    targets: Sequence[IntArray],
    columns: Sequence[Column],
    *,
    facts: CatalogueFacts | None = None,
    comparisons: Sequence[Comparison] = (),
    seed: int = 0,
) -> Table:
    """Judges ranked lists [m, K], or [s, m, K] of s seeds, of several systems for the same m users.

    Metrics beyond ranking read `facts` about the same users. Each system gets, for each column, the mean over users
    (None where no user has a value), `<column>_ci`, and with several seeds `<column>_seeds`: `sd` between the `values`
    of the seeds, which are averaged within users for all else (see `genrec.evaluation.significance`).
    For each comparison (system, baseline) the system gets `<column>_vs_<baseline>`: see `as_json`, and `p_holm`, which
    is p adjusted for all comparisons of the same column. Without users every value is None.
    """
    lists = {name: ranked[None] if ranked.ndim == 2 else ranked for name, ranked in systems.items()}
    if not lists or not len(targets):
        return _nothing(systems, [column_name(column) for column in columns])
    over_all = [column for column in columns if metrics.kind_of(column[0]) == "set"]
    per_user = [column for column in columns if column not in over_all]
    measured, compared = _from_values(
        {name: user_values(ranked, targets, per_user, facts) for name, ranked in lists.items()}, comparisons, seed
    )
    if over_all:
        whole = {name: _over_lists(ranked, targets, over_all, facts, seed) for name, ranked in lists.items()}
        measured = {name: _beside(measured[name], whole[name]) for name in lists}
        compared = {pair: _beside(compared[pair], _minus(*(whole[name] for name in pair))) for pair in compared}
    return _table(
        measured,
        compared,
        [column_name(column) for column in (*per_user, *over_all)],
        [column_name(column) for column in columns],
        len(targets),
    )


def user_values(
    ranked: IntArray, targets: Sequence[IntArray], columns: Sequence[Column], facts: CatalogueFacts | None
) -> Values:
    """Values [s, m, c] of lists [s, m, K] in metrics of single lists (all kinds but `set`)."""
    values = np.empty((len(ranked), len(targets), len(columns)))
    for column, (name, k) in enumerate(columns):
        for run, lists in enumerate(ranked):
            if metrics.kind_of(name) == "ranking":
                values[run, :, column] = metrics.ranking(name).per_user(lists, targets, k)
            else:
                values[run, :, column] = metrics.beyond(name).per_list(lists, targets, _known(facts, name), k)
    return values


def value_table(
    values: Mapping[str, Values],
    columns: Sequence[str],
    comparisons: Sequence[Comparison] = (),
    *,
    seed: int = 0,
) -> Table:
    """The same from values of each user [m, number of columns], or [s, m, columns], of each system.

    NaN where a value is not defined: the user is left out of the mean, and of differences if either system has none.
    """
    seeded = {name: value[None] if value.ndim == 2 else value for name, value in values.items()}
    if not seeded or not next(iter(seeded.values())).shape[1]:
        return _nothing(values, columns)
    n_users = next(iter(seeded.values())).shape[1]
    return _table(*_from_values(seeded, comparisons, seed), columns, columns, n_users)


def as_json(found: significance.Difference, n_users: int | None = None) -> dict[str, float | int | None]:
    """A difference as it stands in results: mean, low, high, p, the minimum detectable difference `mdd`.

    With the number of users also `users_needed` to settle a difference of the size that was seen.
    """
    shown = {key: round(getattr(found, key), 6) for key in ("mean", "low", "high", "p")}
    sizes: dict[str, float | int | None] = {"mdd": round(found.detectable, 6)}
    if n_users is not None:
        sizes["users_needed"] = found.users_needed(n_users)
    return {**shown, **sizes}


def adjust(table: Table) -> Table:
    """Adds `p_holm` to every difference: p adjusted for all differences of the same column in the table (in place)."""
    families: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in table.values():
        for key, value in row.items():
            if "_vs_" in key:
                families[key.partition("_vs_")[0]].append(value)
    for family in families.values():
        for found, p in zip(family, significance.holm([found["p"] for found in family]), strict=True):
            found["p_holm"] = round(p, 6)
    return table


def _over_lists(
    ranked: IntArray, targets: Sequence[IntArray], columns: Sequence[Column], facts: CatalogueFacts | None, seed: int
) -> _Measured:
    """Set metrics of lists [s, m, K], averaged over seeds."""

    def measure(weights: Values) -> Values:
        found = np.empty((len(ranked), len(weights), len(columns)))
        for column, (name, k) in enumerate(columns):
            for run, lists in enumerate(ranked):
                found[run, :, column] = metrics.overall(name).over_lists(
                    lists, targets, _known(facts, name), k, weights
                )
        return found

    seeds = measure(np.ones((1, len(targets))))[:, 0]
    parts = [measure(weights).mean(axis=0) for weights in significance.left_out_weights(len(targets), seed)]
    value: Values = seeds.mean(axis=0)
    return _Measured(value, significance.jackknife_draws(value, np.concatenate(parts), seed=seed), seeds)


def _known(facts: CatalogueFacts | None, name: str) -> CatalogueFacts:
    if facts is None:
        raise ValueError(f"the metric {name} needs facts about the catalogue")
    return facts


def _from_values(
    values: Mapping[str, Values], comparisons: Sequence[Comparison], seed: int
) -> tuple[dict[str, _Measured], dict[Comparison, _Measured]]:
    """Means over users from values [s, m, c] of each system, and of the differences between systems."""
    by_user = {name: significance.over_seeds(value) for name, value in values.items()}
    users = {name: averaged for name, (averaged, _) in by_user.items()}
    columns = [*users.values(), *(users[name] - users[baseline] for name, baseline in comparisons)]
    means = significance.over_seeds(np.concatenate(columns, axis=1)[None])[1][0]
    draws = significance.bootstrap_means(np.concatenate(columns, axis=1), seed=seed)
    parts = list(zip(np.split(means, len(columns)), np.split(draws, len(columns), axis=1), strict=True))
    measured = {name: _Measured(*part, by_user[name][1]) for name, part in zip(users, parts, strict=False)}
    compared = {
        pair: _Measured(*part, part[0][None]) for pair, part in zip(comparisons, parts[len(users) :], strict=True)
    }
    return measured, compared


def _beside(first: _Measured, second: _Measured) -> _Measured:
    return _Measured(
        np.concatenate([first.value, second.value]),
        np.concatenate([first.draws, second.draws], axis=1),
        np.concatenate([first.seeds, second.seeds], axis=1),
    )


def _minus(first: _Measured, second: _Measured) -> _Measured:
    value = first.value - second.value
    return _Measured(value, first.draws - second.draws, value[None])


def _table(
    measured: Mapping[str, _Measured],
    compared: Mapping[Comparison, _Measured],
    given: Sequence[str],
    wanted: Sequence[str],
    n_users: int,
) -> Table:
    """`given` names the columns that were measured, `wanted` has them in the order of the table."""
    places = [(column, given.index(column)) for column in wanted]
    table: Table = {}
    for name, found in measured.items():
        row = table.setdefault(name, {})
        for column, place in places:
            row |= _cells(column, float(found.value[place]), found.draws[:, place], found.seeds[:, place])
    for (name, baseline), found in compared.items():
        for column, place in places:
            delta = significance.difference(float(found.value[place]), found.draws[:, place])
            if math.isfinite(delta.mean):
                table[name][f"{column}_vs_{baseline}"] = as_json(delta, n_users)
    return adjust(table)


def _cells(column: str, value: float, draws: Values, seeds: Values) -> dict[str, Any]:
    if not math.isfinite(value) or np.isnan(draws).all():
        return {column: None, f"{column}_ci": None}
    low, high = significance.interval(draws[:, None])
    cells: dict[str, Any] = {
        column: round(value, 6),
        f"{column}_ci": [round(float(low[0]), 6), round(float(high[0]), 6)],
    }
    if len(seeds) > 1:
        cells[f"{column}_seeds"] = {
            "sd": round(float(seeds.std(ddof=1)), 6),
            "values": [round(float(one), 6) for one in seeds],
        }
    return cells


def _nothing(systems: Mapping[str, Any], columns: Sequence[str]) -> Table:
    return {name: {key: None for column in columns for key in (column, f"{column}_ci")} for name in systems}
