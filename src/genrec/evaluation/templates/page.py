"""One self-contained page for a comparison of templates or of the arms of an experiment."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import jinja2
from markupsafe import Markup

from genrec.evaluation.plots import Mark, Panel, Row, intervals
from genrec.evaluation.reporting.figures import grouped
from genrec.evaluation.templates.verdicts import figure, in_words

_ORIGIN = ("fingerprint", "stats", "workspace_versions", "versions", "git_revision", "settings", "suite", "served")
_OPTIONAL = {"id": "", "created": "", "ranks": None, "split": None, "lists": None, "seeds": None}


def page(record: Mapping[str, Any]) -> str:
    """The page of a result of `evaluate_prompts` (as its run records it) or of `experiment_report`.

    It needs no network and no other file.
    """
    rows = [{**row, "words": in_words(row)} for row in record["verdicts"]]
    return _template().render(
        record={**_OPTIONAL, **record},
        rows=rows,
        several=len({row["system"] for row in rows}) > 1,
        plots=_plots(record),
        tables=grouped(record["systems"], best_marked=False),
        origin=json.dumps({key: record[key] for key in _ORIGIN if key in record}, indent=2, ensure_ascii=False),
    )


def _plots(record: Mapping[str, Any]) -> list[str]:
    """The differences of each metric, each on an axis of its own: they have different units."""
    drawn = []
    for column in dict.fromkeys(row["metric"] for row in record["verdicts"]):
        rows = [row for row in record["verdicts"] if row["metric"] == column and "mean" in row]
        title = f"{column} (lower is better)" if rows and rows[0]["better"] == "lower" else column
        marks = tuple(
            Row(f"{row['system']} − {row['baseline']}", (Mark(row["mean"], row["low"], row["high"]),)) for row in rows
        )
        drawn.append(intervals([Panel(title, marks)], f"Difference of {column} with its 95 % interval", zero=True))
    return [one for one in drawn if one]


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader(
            [jinja2.PackageLoader("genrec.evaluation", folder) for folder in ("prompts", "reporting")]
        ),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # Drawings escape what they write; everything else is escaped by the template.
    environment.filters["drawing"] = Markup
    environment.globals["number"] = figure
    return environment.get_template("comparison.html.j2")
