"""What a record has beside the figures of its systems, made ready for the page; None or nothing where it has not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from genrec.evaluation.groups import FEW
from genrec.evaluation.tables import Table
from genrec.reports.charts import MAX_SERIES, Mark, Panel, Row, curve, intervals
from genrec.reports.figures import bars, difference_bars, differences, directed, grouped, interval, mark


def part(title: str, record: Mapping[str, Any], headline: Sequence[str]) -> dict[str, Any]:
    """Systems over some users: plots of the headline, tables, and differences."""
    systems = record["systems"]
    found = differences(systems)
    return {
        "title": title.replace("_", " "),
        "users": record["users"],
        "plots": [
            *(plot for column in headline if (plot := bars(systems, column))),
            *(plot for column in headline[:1] if (plot := difference_bars(found, column))),
        ],
        "tables": grouped(systems),
        "differences": found,
    }


def controls(record: Mapping[str, Any], column: str) -> list[dict[str, Any]]:
    """For each system its figure beside those under each control, and what was lost."""
    return [_controlled(name, table, column) for name, table in record.get("controls", {}).items()]


def control_definitions(record: Mapping[str, Any]) -> dict[str, str]:
    """What the controls of the record change, as its definitions have it."""
    names = {name for table in record.get("controls", {}).values() for name in table}
    return {name: text for name, text in record["definitions"].items() if name in names - set(record["systems"])}


def _controlled(name: str, table: Table, column: str) -> dict[str, Any]:
    found = differences(table)
    plots = [plot for plot in (bars(table, column), difference_bars(found, column)) if plot]
    return {"name": name, "plots": plots, "tables": grouped(table, best_marked=False), "differences": found}


def breakdowns(record: Mapping[str, Any], column: str) -> list[dict[str, Any]]:
    """For each dimension the systems, and their differences, by bucket."""
    return [_breakdown(one["title"], one["buckets"], column) for one in record.get("breakdown", {}).values()]


def _breakdown(title: str, buckets: Sequence[Mapping[str, Any]], column: str) -> dict[str, Any]:
    by = f"by: {title.lower().rstrip('?')}"
    means = _Grid(buckets, [{name: mark(row, column) for name, row in one["systems"].items()} for one in buckets])
    gains = _Grid(
        buckets,
        [
            {_pair(found): interval(found) for found in differences(one["systems"]) if found["metric"] == column}
            for one in buckets
        ],
    )
    return {
        "title": title,
        "plots": [
            *gains.plot(f"difference of {column}", f"Differences of {column} {by}", zero=True),
            *means.plot(directed(column), f"{column} {by}"),
        ],
        "not_drawn": means.names[MAX_SERIES:] + gains.names[MAX_SERIES:],
        "tables": [
            *means.table(f"Mean {column} {by}", signed=False),
            *gains.table(f"Paired differences of {column} {by}", signed=True),
        ],
    }


class _Grid:
    """Marks by bucket and name, drawn and as a table; names in order of appearance."""

    def __init__(self, buckets: Sequence[Mapping[str, Any]], marks: Sequence[Mapping[str, Mark | None]]) -> None:
        self.names = list(dict.fromkeys(name for of_bucket in marks for name in of_bucket))
        self._buckets, self._marks = buckets, marks

    def plot(self, axis: str, title: str, *, zero: bool = False) -> list[str]:
        """One drawing, or none. Few users say nothing, so their buckets are left to the table."""
        names = self.names[:MAX_SERIES]
        rows = tuple(
            Row(_label(bucket), tuple(marks.get(name) for name in names))
            for bucket, marks in zip(self._buckets, self._marks, strict=True)
            if bucket["users"] >= FEW
        )
        drawn = intervals([Panel(axis, rows)], title, names, zero=zero)
        return [drawn] if drawn else []

    def table(self, title: str, *, signed: bool) -> list[dict[str, Any]]:
        """One table, or none."""
        rows = [
            {"name": _label(bucket), "cells": [_text(marks.get(name), signed=signed) for name in self.names]}
            for bucket, marks in zip(self._buckets, self._marks, strict=True)
        ]
        return [{"title": title, "columns": self.names, "rows": rows}] if self.names else []


def cost_curve(record: Mapping[str, Any], column: str) -> dict[str, Any] | None:
    """The metric over the share of requests that use the language model, and where the default stands."""
    given = record.get("cost_curve")
    if not given or not given["points"]:
        return None
    points = sorted(given["points"], key=lambda point: point["share_llm"])
    chosen, without = given.get("default"), points[0]["share_llm"] == 0
    drawn = curve(
        [(point["share_llm"], Mark(point[column], point.get("low"), point.get("high"))) for point in points],
        f"{column} over the share of requests that use the language model",
        x_name="requests that use the language model",
        y_name=column,
        x_text=lambda share: f"{100 * share:.0f} %",
        chosen=None if chosen is None else (chosen["share_llm"], chosen[column]),
        chosen_name="default",
        level=points[0][column] if without else None,
    )
    rows = [
        {
            "share": f"{100 * point['share_llm']:.1f} %",
            "figure": _text(Mark(point[column], point.get("low"), point.get("high"))),
            "default": chosen is not None and point["share_llm"] == chosen["share_llm"],
        }
        for point in points
    ]
    return {"plot": drawn, "rows": rows, "without": without, "column": column}


def position_bias(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """For each system that reads labels: its gain at each label, and what shuffling does."""
    sections = []
    for name, found in record.get("position_bias", {}).items():
        known = [(place + 1.0, Mark(gain)) for place, gain in enumerate(found["gain"]) if gain is not None]
        mean = sum(point.value for _, point in known) / len(known) if known else None
        plot = curve(
            known,
            f"Gain of relevant items of {name} by the label they were shown at",
            x_name="label, in the order shown",
            y_name="mean discounted gain",
            x_text=lambda place: f"{place:.0f}",
            level=mean,
        )
        effect = found.get("shuffle_effect")
        sections.append(
            {
                "name": name,
                "plot": plot,
                "deviation": found.get("deviation"),
                "effect": None
                if effect is None
                else [f"{100 * effect[end]:+.2f} %" for end in ("mean", "low", "high")],
                "rows": list(zip(range(1, len(found["gain"]) + 1), found["gain"], found["relevant"], strict=True)),
            }
        )
    return sections


def flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested figures as lines of name and value."""
    lines: list[tuple[str, str]] = []
    for key, value in values.items():
        name = f"{prefix}{key}".replace("_", " ")
        if isinstance(value, Mapping):
            lines += flat(value, f"{name}, ")
        else:
            lines.append(
                (name, "–" if value is None else f"{value:,}" if isinstance(value, int | float) else str(value))
            )
    return lines


def _pair(difference: Mapping[str, Any]) -> str:
    return f"{difference['system']} − {difference['baseline']}"


def _label(bucket: Mapping[str, Any]) -> str:
    few = ", too few" if bucket["users"] < FEW else ""
    return f"{bucket['label']} ({bucket['users']:,} users{few})"


def _text(found: Mark | None, *, signed: bool = False) -> dict[str, Any]:
    cell = {"value": "–", "interval": "", "seeds": "", "best": False}
    if found is None:
        return cell
    sign = "+" if signed else ""
    if found.low is not None and found.high is not None:
        cell["interval"] = f"{found.low:{sign}.4f} to {found.high:{sign}.4f}"
    return {**cell, "value": f"{found.value:{sign}.4f}"}
