"""One self-contained page for a run: tables, plots with intervals, controls, gates, and where the figures came from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import jinja2
from markupsafe import Markup

from genrec.evaluation.reporting import sections
from genrec.evaluation.reporting.figures import bars, best, columns

__all__ = ["bars", "best", "columns", "render"]

_ORIGIN = ("fingerprint", "stats", "workspace_versions", "versions", "git_revision", "settings")
_ANSWERS = ("language_model", "validity", "fallbacks", "agreement")
_COSTS = ("tokens", "latency_ms")
_OPTIONAL: Mapping[str, Any] = {
    **dict.fromkeys(("description", "items", "in_slate", "git_revision", "fingerprint")),
    **{"gates": (), "seeds": (), "versions": {}},
}
_SHOWN = {
    *_OPTIONAL,
    *("id", "kind", "created", "split", "users", "warnings"),
    *("systems", "subsets", "headline", "definitions", "comparisons"),
    *("controls", "breakdown", "fairness", "cost_curve", "position_bias", "candidate_recall"),
    *(*_ANSWERS, *_COSTS, *_ORIGIN),
}


def render(record: Mapping[str, Any]) -> str:
    """The page for a record of `genrec.evaluation.runs`. It needs no network, and no other file.

    Every record has
    - id, kind, created, split, users, warnings (list of texts), definitions (name -> text).
    - systems: name -> row of `genrec.evaluation.tables`: `<metric>`, `<metric>_ci` [low, high], `<metric>_seeds` {sd,
      values}, `<metric>_vs_<baseline>` {mean, low, high, p, p_holm, mdd, users_needed}.
    - headline: metrics that are drawn; the first is that of controls, breakdowns and the cost curve.
    Where it has them, it shows
    - description (a text), items (number), seeds (list).
    - subsets: name -> users, systems. `comparisons` repeats the differences of `systems`, and is not read.
    - gates: list of gate, passed, found.
    - controls: system -> table of the system itself and of each control, differences to the system itself.
    - breakdown, fairness: dimension -> title, buckets: list of label, users, systems (`genrec.evaluation.breakdown`).
    - cost_curve: points: list of share_llm (0 to 1), <metric>, low, high; default: share_llm, <metric>, or None.
    - position_bias: system -> gain and relevant (lists over labels, in the order shown; None without relevant items),
      deviation, shuffle_effect (a difference as a share: mean, low, high) (`genrec.evaluation.metrics.label_position`).
    - candidate_recall (a number, or name -> number), in_slate (number of users).
    - language_model, validity, fallbacks, agreement, tokens, latency_ms: figures by name, nested as they like.
    - fingerprint, stats, versions, git_revision, settings, workspace_versions: where it came from.
    Whatever else the record has is shown as it is.
    """
    headline = list(record["headline"])
    lead = headline[0] if headline else ""
    parts = {"All test users": record, **record.get("subsets", {})}
    return _template().render(
        record={**_OPTIONAL, **record},
        lead=lead,
        parts=[sections.part(title, part, headline) for title, part in parts.items()],
        controls=sections.controls(record, lead),
        control_definitions=sections.control_definitions(record),
        breakdowns=sections.breakdowns(record.get("breakdown", {}), lead),
        fairness=sections.breakdowns(record.get("fairness", {}), lead),
        cost=sections.cost_curve(record, lead),
        bias=sections.position_bias(record),
        recall=_recall(record.get("candidate_recall")),
        answers=sections.flat({key: record[key] for key in _ANSWERS if record.get(key)}),
        costs=sections.flat({key: record[key] for key in _COSTS if record.get(key)}),
        rest=_pretty({key: value for key, value in record.items() if key not in _SHOWN}),
        origin=_pretty({key: record[key] for key in _ORIGIN if key in record}),
    )


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("genrec.evaluation", "reporting"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # Drawings escape what they write; everything else is escaped by the template.
    environment.filters["drawing"] = Markup
    return environment.get_template("page.html.j2")


def _recall(given: Any) -> list[tuple[str, str]]:
    """The ceiling of whatever orders a slate, for each system that has one of its own."""
    if given is None:
        return []
    named = given if isinstance(given, Mapping) else {"": given}
    return [(name, f"{value:.4f}") for name, value in named.items() if value is not None]


def _pretty(values: Mapping[str, Any]) -> str:
    return json.dumps(values, indent=2, ensure_ascii=False) if values else ""
