"""Report pages: one self-contained HTML page for a run, a comparison of templates or the arms of an experiment."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

import jinja2
from markupsafe import Markup

from genrec.evaluation.verdicts import figure, in_words
from genrec.reports import sections
from genrec.reports.figures import difference_bars, grouped

_ORIGIN = ("fingerprint", "stats", "workspace_versions", "versions", "git_revision", "settings")
_ANSWERS = ("language_model", "validity", "fallbacks", "agreement")
_COSTS = ("tokens", "latency_ms")
_OPTIONAL: Mapping[str, Any] = {
    **dict.fromkeys(("description", "items", "git_revision", "fingerprint", "ranks", "split", "lists")),
    **{"gates": (), "seeds": (), "versions": {}, "id": "", "created": ""},
}
_SHOWN = {
    *_OPTIONAL,
    *("kind", "users", "warnings", "systems", "subsets", "headline", "definitions", "comparisons"),
    *("controls", "breakdown", "cost_curve", "position_bias", "candidate_recall"),
    *(*_ANSWERS, *_COSTS, *_ORIGIN),
}


def page(record: Mapping[str, Any]) -> str:
    """The page for a record of `genrec.evaluation.runs` or of an experiment. It needs no network, and no other file.

    Every record has
    - kind, users, warnings (list of texts), definitions (name -> text).
    - systems: name -> row of `genrec.evaluation.tables`: `<metric>`, `<metric>_ci` [low, high], `<metric>_seeds` {sd,
      values}, `<metric>_vs_<baseline>` {mean, low, high, p, p_holm, mdd, users_needed}.
    - headline: metrics that are drawn; the first is that of controls, breakdowns and the cost curve.
    Where it has them, it shows
    - id, created, description, split (a name, or the test of an experiment's split), seeds, items and lists (numbers).
    - subsets: name -> users, systems. `comparisons` repeats the differences of `systems`, and is not read.
    - gates: list of gate, passed, found.
    - controls: system -> table of the system itself and of each control, differences to the system itself.
    - breakdown: dimension -> title, buckets: list of label, users, systems (`genrec.evaluation.breakdown`).
    - cost_curve: points: list of share_llm (0 to 1), <metric>, low, high; default: share_llm, <metric>, or None.
    - position_bias: system -> gain and relevant (lists over labels, in the order shown; None without relevant items),
      deviation, shuffle_effect (a difference as a share: mean, low, high) (`genrec.evaluation.suite.position`).
    - candidate_recall: name -> number.
    - language_model, validity, fallbacks, agreement, tokens, latency_ms: figures by name, nested as they like.
    - fingerprint, stats, versions, git_revision, settings, workspace_versions: where it came from.
    A record with `verdicts` (`genrec.evaluation.verdicts`) is a comparison, with `templates` and `ranks`. Whatever else
    a run has is shown as it is.
    """
    return _comparison(record) if "verdicts" in record else _run(record)


def _run(record: Mapping[str, Any]) -> str:
    headline = list(record["headline"])
    lead = headline[0] if headline else ""
    parts = {"All test users": record, **record.get("subsets", {})}
    return _template("page").render(
        record={**_OPTIONAL, **record},
        lead=lead,
        parts=[sections.part(title, part, headline) for title, part in parts.items()],
        controls=sections.controls(record, lead),
        control_definitions=sections.control_definitions(record),
        breakdowns=sections.breakdowns(record, lead),
        cost=sections.cost_curve(record, lead),
        bias=sections.position_bias(record),
        recall=[(name, f"{value:.4f}") for name, value in record.get("candidate_recall", {}).items()],
        answers=sections.flat({key: record[key] for key in _ANSWERS if record.get(key)}),
        costs=sections.flat({key: record[key] for key in _COSTS if record.get(key)}),
        rest=_pretty({key: value for key, value in record.items() if key not in _SHOWN}),
        origin=_pretty({key: record[key] for key in _ORIGIN if key in record}),
    )


def _comparison(record: Mapping[str, Any]) -> str:
    rows = [{**row, "words": in_words(row)} for row in record["verdicts"]]
    measured = [row for row in rows if "mean" in row]
    # The metrics have different units: each has an axis of its own.
    plots = [difference_bars(measured, column) for column in dict.fromkeys(row["metric"] for row in measured)]
    return _template("comparison").render(
        record={**_OPTIONAL, **record},
        rows=rows,
        several=len({row["system"] for row in rows}) > 1,
        plots=plots,
        tables=grouped(record["systems"], best_marked=False),
        origin=_pretty({key: record[key] for key in (*_ORIGIN, "suite", "served") if key in record}),
    )


@cache
def _template(name: str) -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("genrec", "reports"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # Drawings escape what they write; everything else is escaped by the template.
    environment.filters["drawing"] = Markup
    environment.globals["number"] = figure
    return environment.get_template(f"{name}.html.j2")


def _pretty(values: Mapping[str, Any]) -> str:
    return json.dumps(values, indent=2, ensure_ascii=False) if values else ""
