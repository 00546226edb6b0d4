"""One self-contained page for a run: tables, bars with intervals, definitions, and where the figures came from."""

from __future__ import annotations

import importlib.resources
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

import jinja2
from markupsafe import Markup

from genrec.evaluation.tables import Table

LOWER_IS_BETTER = {"log_loss", "calibration_error"}
_ORIGIN = ("fingerprint", "stats", "workspace_versions", "versions", "git_revision", "settings")
_SHOWN = {
    "id",
    "kind",
    "created",
    "split",
    "users",
    "warnings",
    "systems",
    "subsets",
    "headline",
    "definitions",
    *_ORIGIN,
}


def render(record: Mapping[str, Any]) -> str:
    """The page for a record of `genrec.evaluation.runs`.

    Reads `systems` (and `subsets`: name -> users, systems) as tables, `headline` (the columns that are drawn),
    `warnings`, `definitions`; whatever else the record has is shown as it is.
    """
    source = importlib.resources.files(__package__).joinpath("report.html.j2").read_text("utf-8")
    template = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(source)
    parts = {"All test users": record, **record.get("subsets", {})}
    return template.render(
        record=record,
        sections=[_section(title, part, record["headline"]) for title, part in parts.items()],
        facts=_pretty({key: value for key, value in record.items() if key not in _SHOWN}),
        origin=_pretty({key: record[key] for key in _ORIGIN if key in record}),
    )


def columns(systems: Table) -> list[str]:
    """The metrics of a table: its keys without intervals and differences."""
    names = dict.fromkeys(key for row in systems.values() for key in row)
    return [name for name in names if not name.endswith("_ci") and "_vs_" not in name]


def best(systems: Table, column: str) -> float | None:
    """The best value of a column."""
    values = [row[column] for row in systems.values() if row.get(column) is not None]
    if not values:
        return None
    return float(min(values) if column in LOWER_IS_BETTER else max(values))


def _section(title: str, part: Mapping[str, Any], headline: Sequence[str]) -> dict[str, Any]:
    systems: Table = part["systems"]
    shown = columns(systems)
    return {
        "title": title.replace("_", " "),
        "users": part["users"],
        "columns": shown,
        "plot": Markup(bars(systems, [column for column in headline if column in shown])),  # noqa: S704 our own drawing
        "rows": [{"system": name, "cells": [_cell(systems, name, column) for column in shown]} for name in systems],
        "differences": [
            {
                "system": name,
                "what": key.replace("_vs_", " against "),
                "mean": f"{value['mean']:+.4f}",
                "interval": f"{value['low']:+.4f} to {value['high']:+.4f}",
                "p": f"{value['p']:.3f}",
            }
            for name, row in systems.items()
            for key, value in row.items()
            if "_vs_" in key
        ],
    }


def _cell(systems: Table, name: str, column: str) -> dict[str, Any]:
    value, interval = systems[name].get(column), systems[name].get(f"{column}_ci")
    return {
        "value": "–" if value is None else f"{value:.4f}",
        "interval": "" if interval is None else f"{interval[0]:.4f} to {interval[1]:.4f}",
        "best": value is not None and value == best(systems, column),
    }


def bars(systems: Table, headline: Sequence[str]) -> str:
    """One panel for each metric, one bar with its interval for each system, as an SVG element; '' without values."""
    drawn = [column for column in headline if best(systems, column) is not None]
    if not drawn:
        return ""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({"svg.hashsalt": "genrec", "svg.fonttype": "none", "font.size": 9}):
        figure = Figure(figsize=(3.1 * len(drawn) + 1, 0.34 * len(systems) + 1), layout="constrained")
        panels = figure.subplots(1, len(drawn), sharey=True, squeeze=False)[0]
        for panel, column in zip(panels, drawn, strict=True):
            _draw(panel, systems, column)
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None})
    text = file.getvalue()
    return text[text.index("<svg") :]


def _draw(panel: Any, systems: Table, column: str) -> None:
    names = [name for name in systems if systems[name].get(column) is not None]
    values = [systems[name][column] for name in names]
    panel.barh(names, values, color="#7aa6d6", height=0.65)
    for place, name in enumerate(names):
        interval = systems[name].get(f"{column}_ci")
        if interval is not None:
            panel.plot(interval, [place, place], color="#1c2330", linewidth=1.2, marker="|", markersize=6)
    if not panel.yaxis_inverted():
        panel.invert_yaxis()
    panel.set_title(f"{column} (lower is better)" if column in LOWER_IS_BETTER else column)
    panel.spines[["top", "right"]].set_visible(False)


def _pretty(values: Mapping[str, Any]) -> str:
    return json.dumps(values, indent=2, ensure_ascii=False) if values else ""
