"""From differences with intervals to what they show: better, worse, or how many users it would take to know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from genrec.evaluation import metrics, significance
from genrec.evaluation.metrics import Better
from genrec.evaluation.tables import Table

CONFIDENT = 0.05
"""A difference counts as seen where its p, adjusted for all that were looked at together, is below."""
NOT_SEEN = "no difference seen"
NOT_MEASURED = "not measured"

OF_ANSWERS: Mapping[str, Better] = {
    **{"validity": "higher", "agreement": "neither"},
    **{"prompt tokens": "lower", "computed tokens": "lower", "llm ms": "lower"},
}
"""What is no metric of `genrec.evaluation.metrics`, and which way is good."""


def verdicts(
    table: Table, pairs: Sequence[tuple[str, str]], columns: Sequence[str], better: Mapping[str, Better]
) -> list[dict[str, Any]]:
    """A row for each (system, baseline) and column of a table of `genrec.evaluation.tables`; JSON-ready.

    Keys: system, baseline, metric, `before` and `after` with `before_ci` and `after_ci`, the difference (mean, low,
    high, p, mdd, users_needed), `p_holm` adjusted for all rows together, better (higher, lower, neither), and verdict:
    better, worse, `no difference seen` or `not measured`; higher or lower where no direction is good.
    """
    rows = [_row(table, pair, column, better) for pair in pairs for column in columns]
    measured = [row for row in rows if "p" in row]
    for row, p in zip(measured, significance.holm([row["p"] for row in measured]), strict=True):
        row["p_holm"] = round(p, 6)
        row["verdict"] = shown(row, row["better"]) or NOT_SEEN
    return rows


def shown(difference: Mapping[str, Any], better: Better) -> str | None:
    """Better or worse, or higher or lower where neither way is good; None where chance may have made the difference."""
    if difference.get("p_holm", difference["p"]) >= CONFIDENT or not difference["mean"]:
        return None
    up = difference["mean"] > 0
    if better == "neither":
        return "higher" if up else "lower"
    return "better" if up == (better == "higher") else "worse"


def direction(column: str) -> Better:
    """Which way is good for a metric or a cost; `neither` for others."""
    return OF_ANSWERS.get(column) or metrics.better(column)


def in_words(row: Mapping[str, Any]) -> str:
    """The verdict of a row, and what it would take where there is none."""
    if row["verdict"] != NOT_SEEN:
        return str(row["verdict"])
    needed = row.get("users_needed")
    return NOT_SEEN if needed is None else f"{NOT_SEEN}; {needed:,} users would settle {figure(row['mean'], '+')}"


def figure(value: float | None, sign: str = "") -> str:
    """A number for a table: four places, or one where it is large, such as a number of tokens."""
    if value is None:
        return "–"
    return f"{value:{sign},.{1 if abs(value) >= 100 else 4}f}"


def _row(table: Table, pair: tuple[str, str], column: str, better: Mapping[str, Better]) -> dict[str, Any]:
    system, baseline = pair
    return {
        "system": system,
        "baseline": baseline,
        "metric": column,
        "better": better[column],
        "before": table[baseline].get(column),
        "before_ci": table[baseline].get(f"{column}_ci"),
        "after": table[system].get(column),
        "after_ci": table[system].get(f"{column}_ci"),
        "verdict": NOT_MEASURED,
        **table[system].get(f"{column}_vs_{baseline}", {}),
    }
