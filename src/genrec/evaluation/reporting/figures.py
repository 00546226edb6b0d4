"""Figures of systems as a page shows them: columns, cells, differences, and the bars of a metric."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from genrec.evaluation import metrics
from genrec.evaluation.plots import Mark, Panel, Row, intervals
from genrec.evaluation.tables import Table

CONFIDENT = 0.05
"""A difference counts as shown where its p, adjusted if there were several, is below."""
_NOT_METRICS = ("_ci", "_seeds")
_GROUPS = ("Accuracy", "Beyond accuracy", "Fairness")


def columns(systems: Table) -> list[str]:
    """The metrics of a table: its keys without intervals, seeds and differences."""
    names = dict.fromkeys(key for row in systems.values() for key in row)
    return [name for name in names if not name.endswith(_NOT_METRICS) and "_vs_" not in name]


def best(systems: Table, column: str) -> float | None:
    """The best value of a column; None where no direction is good, or there is no value."""
    values = [row[column] for row in systems.values() if row.get(column) is not None]
    better = metrics.better(column)
    if not values or better == "neither":
        return None
    return float(min(values) if better == "lower" else max(values))


def bars(systems: Table, headline: Sequence[str]) -> str:
    """One panel for each metric, one line with its interval for each system, as an SVG element; '' without values."""
    panels = [
        Panel(directed(column), tuple(Row(name, (mark(row, column),)) for name, row in systems.items()))
        for column in headline
    ]
    return intervals(panels, f"{', '.join(headline)} of each system with its 95 % interval")


def difference_bars(found: Sequence[Mapping[str, Any]], column: str) -> str:
    """Differences (of `differences`) in one metric, with a line at zero; '' without any."""
    rows = [Row(f"{one['system']} − {one['baseline']}", (interval(one),)) for one in found if one["metric"] == column]
    title = f"Paired differences of {column} with their 95 % intervals"
    return intervals([Panel(f"difference of {column}", tuple(rows))], title, zero=True)


def grouped(systems: Table, *, best_marked: bool = True) -> list[dict[str, Any]]:
    """Tables of the metrics of one group each, as cells."""
    shown = columns(systems)
    bests = {column: best(systems, column) if best_marked else None for column in shown}
    by_group = {group: [column for column in shown if _group(column) == group] for group in _GROUPS}
    return [
        {
            "title": group,
            "columns": [{"name": column, "lower": metrics.better(column) == "lower"} for column in chosen],
            "rows": [
                {"name": name, "cells": [_cell(row, column, bests[column]) for column in chosen]}
                for name, row in systems.items()
            ],
        }
        for group, chosen in by_group.items()
        if chosen
    ]


def differences(systems: Table) -> list[dict[str, Any]]:
    """Every difference of a table with system, baseline, metric and, in words, what it shows."""
    found = []
    for name, row in systems.items():
        for key, value in row.items():
            column, vs, baseline = key.partition("_vs_")
            if vs:
                names = {"system": name, "baseline": baseline, "metric": column}
                found.append({**value, **names, "shows": _shows(value, column)})
    return found


def directed(column: str) -> str:
    """The name of a metric, and which way is good where that is not up."""
    return f"{column} (lower is better)" if metrics.better(column) == "lower" else column


def mark(row: Mapping[str, Any], column: str) -> Mark | None:
    """The value of a row with its interval."""
    value, ends = row.get(column), row.get(f"{column}_ci")
    return None if value is None else Mark(value, *(ends or (None, None)))


def interval(difference: Mapping[str, Any]) -> Mark:
    """A difference with its interval."""
    return Mark(difference["mean"], difference["low"], difference["high"])


def _cell(row: Mapping[str, Any], column: str, best: float | None) -> dict[str, Any]:
    value, ends, seeds = row.get(column), row.get(f"{column}_ci"), row.get(f"{column}_seeds")
    return {
        "value": "–" if value is None else f"{value:.4f}",
        "interval": "" if ends is None else f"{ends[0]:.4f} to {ends[1]:.4f}",
        "seeds": "" if seeds is None else f"sd {seeds['sd']:.4f}",
        "best": value is not None and value == best,
    }


def _group(column: str) -> str:
    name = column.partition("@")[0]
    if name.endswith("_gap"):
        return "Fairness"
    kind = metrics.kind_of(name) if name in metrics.names() else ""
    return "Beyond accuracy" if kind in ("beyond accuracy", "set") else "Accuracy"


def _shows(difference: Mapping[str, Any], column: str) -> str:
    if difference.get("p_holm", difference["p"]) >= CONFIDENT:
        return "not told apart"
    better = metrics.better(column)
    if better == "neither":
        return "higher" if difference["mean"] > 0 else "lower"
    return "better" if (difference["mean"] > 0) == (better == "higher") else "worse"
