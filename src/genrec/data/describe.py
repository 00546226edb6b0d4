"""What people look at first in a log: size, spread over users, items and time, and what is cold."""

from __future__ import annotations

import html
import io
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from genrec.data.columns import AMOUNTS
from genrec.data.event_types import NEGATIVE, NEUTRAL, meaning_of, unknown_types
from genrec.data.store import Store

if TYPE_CHECKING:
    from genrec.data.importer import ImportReport

_QUANTILES = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 1.0)
_DAY = 86_400.0
_SHORT_HISTORY = 5
_EARLIEST_DATE = 1e8
"""Seconds, the year 1973: smaller timestamps are taken for positions and not shown as dates."""
_LISTED_VALUES = 20
_JUDGING = ("liked", "like", "recommended", "is_recommended", "rating", "score", "stars", "review_score", "overall")
"""Names of columns that say how an item was liked."""
_BINS = 60


def describe(store: Store) -> dict[str, Any]:
    """Figures of a catalogue and its log, ready for JSON; None where a figure has no meaning (no events, no values).

    `activity` and `popularity` are events per user and per item: `quantiles` over those with events, and `histogram`
    as [lowest, highest, how many] in bins that double. `gini` of popularity is over the whole catalogue, cold items
    included: 0 if all are equally popular, near 1 if a few have everything (Gini 1912).
    `events_over_time` has [start in seconds, events] for equal periods, whole days where there are few enough.
    """
    log, counts, scale = store.interactions(), store.event_counts(), store.scale()
    activity = np.diff(log.indptr)
    popularity = np.bincount(log.item, minlength=log.n_items)
    active, touched = activity[activity > 0], popularity[popularity > 0]
    events = len(log)
    return {
        "users": len(active),
        "items": log.n_items,
        "events": events,
        "density": events / (len(active) * log.n_items) if events else None,
        "time": _time(log.timestamp),
        "activity": _counts(active),
        "popularity": {**_counts(touched), "gini": _gini(popularity)},
        "cold_item_share": float(np.mean(popularity == 0)) if log.n_items else None,
        "short_history_share": float(np.mean(active < _SHORT_HISTORY)) if events else None,
        "values": _values(log.raw),
        "event_types": {one.event_type: one.events for one in counts},
        "unknown_event_types": unknown_types(one.event_type for one in counts),
        "ratings": {"says": scale.says(), "source": scale.source, "liked": scale.liked},
    }


def describe_text(description: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The figures as pairs of a name and a text, for the terminal and for the page."""
    d = description
    rows = [
        ("users", f"{d['users']:,}"),
        ("items", f"{d['items']:,}, of which {_share(d['cold_item_share'])} cold (no events)"),
        ("events", f"{d['events']:,} (density {_share(d['density'], 3)})"),
    ]
    if d["time"]:
        t = d["time"]
        rows.append(("time", f"{_moment(t['first'], t)} to {_moment(t['last'], t)}"))
        if t["unit"] == "seconds":
            rows.append(("events per day", f"{t['events_per_day']:,.1f} over {t['days']:,.0f} days"))
        rows.append(("events per user", _quantile_text(d["activity"]["quantiles"])))
        rows.append(("events per item", _quantile_text(d["popularity"]["quantiles"])))
        rows.append(("users with < 5 events", _share(d["short_history_share"])))
        rows.append(("Gini of popularity", f"{d['popularity']['gini']:.3f} (0 even, 1 all on one item)"))
    rows += [(name, text) for name, text in _meaning(d["event_types"], d["unknown_event_types"])]
    if d["values"]:
        v = d["values"]
        rows.append(("ratings", d["ratings"]["says"]))
        listed = ", ".join(f"{value:g}: {_share(count / v['count'])}" for value, count in v["distribution"])
        rows.append(("values", f"mean {v['mean']:.2f}, {v['minimum']:g} to {v['maximum']:g}"))
        rows.append(("", listed))
    return rows


def understood(report: ImportReport) -> list[str]:
    """What an import took the log to mean, in lines, with how to say otherwise."""
    counts = {one.event_type: one.events for one in report.event_counts}
    lines = [f"{name}: {text}" for name, text in _meaning(counts, unknown_types(counts))]
    if any(one.with_value for one in report.event_counts):
        how = "; set it by liked in the settings" if report.scale.source == "ratings" else ""
        lines.append(f"ratings: {report.scale.says()}{how}")
    if report.unused_columns:
        known = [name for name in report.unused_columns if name.lower() in (*AMOUNTS, *_JUDGING)]
        example = (known or list(report.unused_columns))[0]
        lines.append(f"not used: {', '.join(report.unused_columns)}; to use one as value: --value-column {example}")
    if report.first >= 0 and report.last < _EARLIEST_DATE:
        lines.append(f"timestamps go from {report.first:g} to {report.last:g}: taken for positions, not for dates")
    elif report.last > time.time() + _DAY:
        lines.append(f"the newest event is of {_date(report.last):%Y-%m-%d}, which is yet to come: check the unit")
    return lines


def _meaning(counts: Mapping[str, int], unknown: Sequence[str]) -> list[tuple[str, str]]:
    """Event types with their numbers, most frequent first, and those that are not known."""
    said = {NEGATIVE: " (no)", NEUTRAL: " (only shown)"}
    listed = ", ".join(f"{name} {n:,}{said.get(meaning_of(name).polarity, '')}" for name, n in counts.items())
    rows = [("event types", listed)] if counts else []
    if unknown:
        how = f'say what they mean: [data] event_types = {{ {unknown[0]} = "like" }}'
        rows.append(("not known", f"{', '.join(unknown)}: taken for a yes, and their values for nothing; {how}"))
    return rows


def describe_html(description: Mapping[str, Any]) -> str:
    """One self-contained page with the figures and their plots as inline SVG."""
    rows = "".join(
        f"<tr><th>{html.escape(name)}</th><td>{html.escape(text)}</td></tr>"
        for name, text in describe_text(description)
    )
    plots = "".join(f"<figure>{svg}</figure>" for svg in _plots(description))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><title>The data at a glance</title><style>'
        "body{font:16px/1.5 system-ui,sans-serif;max-width:64rem;margin:2rem auto;padding:0 1rem;color:#222}"
        "th{text-align:left;padding-right:2rem;vertical-align:top;font-weight:600;white-space:nowrap}"
        "main{display:grid;grid-template-columns:repeat(auto-fit,minmax(26rem,1fr));gap:1rem;margin-top:2rem}"
        "figure{margin:0}svg{width:100%;height:auto}</style></head>"
        f"<body><h1>The data at a glance</h1><table>{rows}</table><main>{plots}</main></body></html>\n"
    )


def _time(timestamp: npt.NDArray[np.float64]) -> dict[str, Any] | None:
    if not len(timestamp):
        return None
    first, last = float(timestamp.min()), float(timestamp.max())
    dates = first >= _EARLIEST_DATE
    days = (last - first) / _DAY
    start = np.floor(first / _DAY) * _DAY if dates else first
    step = max(np.ceil((last - start) / _DAY / _BINS), 1.0) * _DAY if dates else max((last - first) / _BINS, 1e-9)
    bins = np.minimum(((timestamp - start) / step).astype(np.int64), _BINS)
    counts = np.bincount(bins)
    return {
        "first": first,
        "last": last,
        "unit": "seconds" if dates else "positions",
        "days": days if dates else None,
        "events_per_day": len(timestamp) / max(days, 1.0) if dates else None,
        "events_over_time": [[float(start + at * step), int(count)] for at, count in enumerate(counts)],
    }


def _counts(counts: npt.NDArray[np.int64]) -> dict[str, Any]:
    if not len(counts):
        return {"mean": None, "quantiles": None, "histogram": []}
    edges = 2 ** np.arange(int(counts.max()).bit_length() + 1)
    heights = np.histogram(counts, bins=edges)[0] if len(edges) > 1 else np.array([len(counts)])
    bins = zip(edges[:-1].tolist(), (edges[1:] - 1).tolist(), heights.tolist(), strict=True)
    return {
        "mean": float(counts.mean()),
        "quantiles": {f"{q:g}": float(np.quantile(counts, q)) for q in _QUANTILES},
        "histogram": [list(row) for row in bins],
    }


def _gini(counts: npt.NDArray[np.int64]) -> float | None:
    """2 * sum(i * x_i) / (n * sum(x)) - (n + 1) / n with x sorted upwards and i from 1."""
    if not counts.sum():
        return None
    ordered, n = np.sort(counts).astype(np.float64), len(counts)
    return float(2 * np.sum(np.arange(1, n + 1) * ordered) / (n * ordered.sum()) - (n + 1) / n)


def _values(value: npt.NDArray[np.float64]) -> dict[str, Any] | None:
    """A line for each value where there are few, else for each of twenty equal ranges by their lower ends."""
    known = value[~np.isnan(value)]
    if not len(known):
        return None
    values, counts = np.unique(known, return_counts=True)
    if len(values) > _LISTED_VALUES:
        counts, edges = np.histogram(known, bins=_LISTED_VALUES)
        values = edges[:-1]
    return {
        "count": len(known),
        "mean": float(known.mean()),
        "minimum": float(known.min()),
        "maximum": float(known.max()),
        "distribution": [[float(v), int(c)] for v, c in zip(values, counts, strict=True)],
    }


def _share(share: float | None, digits: int = 1) -> str:
    return "no share" if share is None else f"{100 * share:.{digits}f} %"


def _moment(seconds: float, time: Mapping[str, Any]) -> str:
    return f"{_date(seconds):%Y-%m-%d}" if time["unit"] == "seconds" else f"position {seconds:g}"


def _date(seconds: float) -> datetime:
    return datetime.fromtimestamp(min(seconds, 2.5e11), UTC)


def _quantile_text(quantiles: Mapping[str, float]) -> str:
    q = quantiles
    return f"median {q['0.5']:g}, half between {q['0.25']:g} and {q['0.75']:g}, {q['0']:g} to {q['1']:g} in all"


def _plots(description: Mapping[str, Any]) -> list[str]:
    d = description
    if not d["events"]:
        return []
    plots = [
        _svg("Activity: events per user", "users", lambda axes: _draw_counts(axes, d["activity"]["histogram"])),
        _svg("Popularity: events per item", "items", lambda axes: _draw_counts(axes, d["popularity"]["histogram"])),
        _svg("Events over time", "events", lambda axes: _draw_time(axes, d["time"])),
    ]
    if d["values"]:
        plots.append(_svg("Values", "events", lambda axes: _draw_values(axes, d["values"]["distribution"])))
    return plots


def _svg(title: str, unit: str, draw: Callable[[Any], None]) -> str:
    # Figure and not pyplot: no global state, so it works in any thread and never looks for a display.
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.add_subplot()
    draw(axes)
    axes.set_title(title)
    axes.set_ylabel(unit)
    axes.spines[["top", "right"]].set_visible(False)
    target = io.StringIO()
    FigureCanvasSVG(figure).print_svg(target, metadata={"Date": None})
    return target.getvalue()[target.getvalue().index("<svg") :]


def _draw_counts(axes: Any, histogram: list[list[int]]) -> None:
    labels = [f"{low}" if low == high else f"{low}-{high}" for low, high, _ in histogram]
    axes.bar(labels, [count for _, _, count in histogram], width=0.9)
    axes.tick_params(axis="x", rotation=45)


def _draw_time(axes: Any, time: Mapping[str, Any]) -> None:
    starts, counts = zip(*time["events_over_time"], strict=True)
    axes.plot([_date(s) for s in starts] if time["unit"] == "seconds" else starts, counts, drawstyle="steps-post")
    axes.set_ylim(bottom=0)
    axes.tick_params(axis="x", rotation=45 if time["unit"] == "seconds" else 0)


def _draw_values(axes: Any, distribution: list[list[float]]) -> None:
    axes.bar([f"{value:g}" for value, _ in distribution], [count for _, count in distribution], width=0.9)
    axes.tick_params(axis="x", rotation=45 if len(distribution) > 10 else 0)
