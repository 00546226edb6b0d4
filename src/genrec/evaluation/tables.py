"""From ranked lists to a table: every metric of every system with its interval, and differences to a baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from genrec.data.interactions import IntArray
from genrec.evaluation import metrics, significance
from genrec.evaluation.metrics import Values

Table = dict[str, dict[str, Any]]
"""System -> {"ndcg@10": mean, "ndcg@10_ci": [low, high], ...}."""

Column = tuple[str, int]
"""A ranking metric and its k."""


def column_name(column: Column) -> str:
    """`ndcg@10`."""
    return f"{column[0]}@{column[1]}"


def definitions(columns: Sequence[Column]) -> dict[str, str]:
    """What each metric of the columns means."""
    return {name: metrics.ranking(name).DEFINITION for name, _ in columns}


def ranking_table(
    systems: Mapping[str, IntArray],
    targets: Sequence[IntArray],
    columns: Sequence[Column],
    *,
    comparisons: Sequence[tuple[str, str]] = (),
    seed: int = 0,
) -> Table:
    """Judges ranked lists [m, K] of several systems for the same m users.

    For each comparison (system, baseline) the system gets `<metric>_vs_<baseline>`: mean, low, high and p of the paired
    difference.
    Without users every value is None.
    """
    values = {
        name: np.stack([metrics.ranking(metric).per_user(ranked, targets, k) for metric, k in columns], axis=1)
        for name, ranked in systems.items()
    }
    return value_table(values, [column_name(column) for column in columns], comparisons, seed=seed)


def value_table(
    values: Mapping[str, Values],
    columns: Sequence[str],
    comparisons: Sequence[tuple[str, str]] = (),
    *,
    seed: int = 0,
) -> Table:
    """The same from values of each user [m, number of columns] for each system."""
    if not values or not len(next(iter(values.values()))):
        return {name: {key: None for column in columns for key in (column, f"{column}_ci")} for name in values}
    means = significance.bootstrap_means(np.concatenate(list(values.values()), axis=1), seed=seed)
    resampled = dict(zip(values, np.split(means, len(values), axis=1), strict=True))
    table = {name: _row(values[name], resampled[name], columns) for name in values}
    for name, baseline in comparisons:
        for place, column in enumerate(columns):
            estimate = float((values[name][:, place] - values[baseline][:, place]).mean())
            deltas = resampled[name][:, place] - resampled[baseline][:, place]
            table[name][f"{column}_vs_{baseline}"] = as_json(significance.difference(estimate, deltas))
    return table


def as_json(found: significance.Difference) -> dict[str, float]:
    """A difference as it stands in results."""
    return {key: round(getattr(found, key), 6) for key in ("mean", "low", "high", "p")}


def _row(values: Values, resampled: Values, columns: Sequence[str]) -> dict[str, Any]:
    low, high = significance.interval(resampled)
    row: dict[str, Any] = {}
    for place, column in enumerate(columns):
        row[column] = round(float(values[:, place].mean()), 6)
        row[f"{column}_ci"] = [round(float(low[place]), 6), round(float(high[place]), 6)]
    return row
