"""Result tables: every metric of every system with its interval, and paired differences to baselines."""

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
from genrec.evaluation.lists import Lists, Values

Table = dict[str, dict[str, Any]]
"""System -> {"ndcg@10": mean, "ndcg@10_ci": [low, high], ...}; see `ranking_table` for the keys."""

Column = tuple[str, int]
"""A metric of ranked lists and its k."""

Comparison = tuple[str, str]
"""A system and the baseline that it is compared with."""


@dataclass(frozen=True, eq=False)
class Measured:
    """Columns of one system or difference: value [c] and bootstrapped values [resamples, c].

    With several seeds also the value of each seed [s, c]. `users` is their number, where more of them would help.
    """

    value: Values
    draws: Values
    seeds: Values | None = None
    users: int | None = None

    def minus(self, other: Measured, users: int | None = None) -> Measured:
        """The difference of two measurements, resampled by the same users or independently."""
        return Measured(self.value - other.value, self.draws - other.draws, users=users)

    def beside(self, other: Measured) -> Measured:
        """The columns of both."""
        seeds = [one.seeds for one in (self, other) if one.seeds is not None]
        return Measured(
            np.concatenate([self.value, other.value]),
            np.concatenate([self.draws, other.draws], axis=1),
            np.concatenate(seeds, axis=1) if seeds else None,
            self.users,
        )


def column_name(column: Column) -> str:
    """`ndcg@10`."""
    return f"{column[0]}@{column[1]}"


def columns_of(names: Sequence[str]) -> list[Column]:
    """Columns from names such as `ndcg@10`. NotFoundError or SettingsError if one is no metric of ranked lists."""
    parsed = [metrics.parse(name) for name in names]
    wrong = [name for name, k in parsed if k is None]
    if wrong:
        known = ", ".join(sorted(metrics.names("user") + metrics.names("set")))
        raise SettingsError(f"{', '.join(wrong)} does not judge ranked lists", f"metrics that do: {known}")
    return [(name, k) for name, k in parsed if k is not None]


def definitions(columns: Sequence[Column]) -> dict[str, str]:
    """What each metric of the columns means."""
    return {name: metrics.metric(name).DEFINITION for name, _ in columns}


def columns(systems: Table) -> list[str]:
    """The metrics of a table: its keys without intervals, seeds and differences."""
    names = dict.fromkeys(key for row in systems.values() for key in row)
    return [name for name in names if not name.endswith(("_ci", "_seeds")) and "_vs_" not in name]


def best(systems: Table, column: str) -> float | None:
    """The best value of a column; None where no direction is good, or there is no value."""
    values = [row[column] for row in systems.values() if row.get(column) is not None]
    better = metrics.better(column)
    if not values or better == "neither":
        return None
    return float(min(values) if better == "lower" else max(values))


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
    wanted = [column_name(column) for column in columns]
    if not lists or not len(targets):
        return _nothing(systems, wanted)
    over_all = [column for column in columns if metrics.kind_of(column[0]) == "set"]
    per_user = [column for column in columns if column not in over_all]
    measured, compared = _from_values(
        {name: user_values(ranked, targets, per_user, facts) for name, ranked in lists.items()}, comparisons, seed
    )
    if over_all:
        whole = {name: _over_lists(ranked, targets, over_all, facts, seed) for name, ranked in lists.items()}
        measured = {name: measured[name].beside(whole[name]) for name in lists}
        compared = {pair: one.beside(whole[pair[0]].minus(whole[pair[1]])) for pair, one in compared.items()}
    return table_of(measured, compared, [column_name(column) for column in (*per_user, *over_all)], wanted)


def user_values(
    ranked: IntArray, targets: Sequence[IntArray], columns: Sequence[Column], facts: CatalogueFacts | None = None
) -> Values:
    """Values [s, m, c] of lists [s, m, K] in metrics of single lists (of kind `user`)."""
    values = np.empty((len(ranked), len(targets), len(columns)))
    for column, (name, k) in enumerate(columns):
        for run, lists in enumerate(ranked):
            values[run, :, column] = metrics.metric(name).per_user(Lists(lists, targets, k, facts))
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
    if not any(value.shape[1] for value in seeded.values()):
        return _nothing(values, columns)
    return table_of(*_from_values(seeded, comparisons, seed), columns)


def table_of(
    measured: Mapping[str, Measured],
    compared: Mapping[Comparison, Measured],
    columns: Sequence[str],
    wanted: Sequence[str] | None = None,
) -> Table:
    """The table of what was measured; `columns` names what was, `wanted` has them in the order of the table."""
    places = [(column, columns.index(column)) for column in wanted or columns]
    table: Table = {name: {} for name in measured}
    for name, found in measured.items():
        for column, place in places:
            table[name] |= _cells(column, found, place)
    for (name, baseline), found in compared.items():
        for column, place in places:
            delta = significance.difference(float(found.value[place]), found.draws[:, place])
            if math.isfinite(delta.mean):
                table[name][f"{column}_vs_{baseline}"] = as_json(delta, found.users)
    return adjust(table)


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
) -> Measured:
    """Set metrics of lists [s, m, K], averaged over seeds."""

    def measure(weights: Values) -> Values:
        found = [
            [metrics.metric(name).over_lists(Lists(lists, targets, k, facts), weights) for name, k in columns]
            for lists in ranked
        ]
        return np.array(found).transpose(0, 2, 1)

    seeds = measure(np.ones((1, len(targets))))[:, 0]
    parts = [measure(weights).mean(axis=0) for weights in significance.left_out_weights(len(targets), seed)]
    value: Values = seeds.mean(axis=0)
    return Measured(value, significance.jackknife_draws(value, np.concatenate(parts), seed=seed), seeds)


def _from_values(
    values: Mapping[str, Values], comparisons: Sequence[Comparison], seed: int
) -> tuple[dict[str, Measured], dict[Comparison, Measured]]:
    """Means over users from values [s, m, c] of each system, and of the differences between systems."""
    by_user = {name: significance.over_seeds(value) for name, value in values.items()}
    users = {name: averaged for name, (averaged, _) in by_user.items()}
    columns = [*users.values(), *(users[name] - users[baseline] for name, baseline in comparisons)]
    means = significance.over_seeds(np.concatenate(columns, axis=1)[None])[1][0]
    draws = significance.bootstrap_means(np.concatenate(columns, axis=1), seed=seed)
    parts = list(zip(np.split(means, len(columns)), np.split(draws, len(columns), axis=1), strict=True))
    measured = {name: Measured(*part, by_user[name][1]) for name, part in zip(users, parts, strict=False)}
    n_users = len(columns[0])
    compared = {
        pair: Measured(*part, users=n_users) for pair, part in zip(comparisons, parts[len(users) :], strict=True)
    }
    return measured, compared


def _cells(column: str, found: Measured, place: int) -> dict[str, Any]:
    value, draws = float(found.value[place]), found.draws[:, place]
    if not math.isfinite(value) or np.isnan(draws).all():
        return {column: None, f"{column}_ci": None}
    low, high = significance.interval(draws[:, None])
    cells: dict[str, Any] = {
        column: round(value, 6),
        f"{column}_ci": [round(float(low[0]), 6), round(float(high[0]), 6)],
    }
    if found.seeds is not None and len(found.seeds) > 1:
        seeds = found.seeds[:, place]
        cells[f"{column}_seeds"] = {
            "sd": round(float(seeds.std(ddof=1)), 6),
            "values": [round(float(one), 6) for one in seeds],
        }
    return cells


def _nothing(systems: Mapping[str, Any], columns: Sequence[str]) -> Table:
    return {name: {key: None for column in columns for key in (column, f"{column}_ci")} for name in systems}
