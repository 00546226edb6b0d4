"""Figures of systems as a page shows them: columns, cells, differences, and the bars of a metric."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from genrec.evaluation import metrics
from genrec.evaluation.tables import Table, best, columns
from genrec.evaluation.verdicts import shown
from genrec.reports.charts import Mark, Panel, Row, intervals

_GROUPS = ("Accuracy", "Beyond accuracy", "Fairness")


def bars(systems: Table, column: str) -> str:
    """One line with its interval for each system, as an SVG element; '' without values."""
    rows = tuple(Row(name, (mark(row, column),)) for name, row in systems.items())
    return intervals([Panel(directed(column), rows)], f"{column} of each system with its 95 % interval")


def difference_bars(found: Sequence[Mapping[str, Any]], column: str) -> str:
    """Differences (of `differences`) in one metric, with a line at zero; '' without any."""
    rows = [Row(f"{one['system']} − {one['baseline']}", (interval(one),)) for one in found if one["metric"] == column]
    title = f"Paired differences of {column} with their 95 % intervals"
    return intervals([Panel(f"difference of {directed(column)}", tuple(rows))], title, zero=True)


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
                found.append({**value, **names, "shows": shown(value, metrics.better(column)) or "not told apart"})
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
