"""Small drawings for reports, as SVG elements: means with intervals, and curves.

They are 360 units wide, so that they can be read on a phone as they are. Colours, and dark mode, are the page's affair:
elements have the classes `s0`, `s1`, ... (series), `grid`, `zero`, `band`, `muted`. Series differ in their marks as
well as in their colour. `title` and `desc` say for screen readers what is drawn.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from markupsafe import escape

WIDTH = 360
MAX_SERIES = 5
"""More would need more colours and marks than can be told apart."""
_LEFT, _RIGHT = 8.0, WIDTH - 12.0
_LABEL, _TRACK, _GAP = 17.0, 13.0, 7.0


@dataclass(frozen=True, slots=True)
class Mark:
    """A value with its interval, if there is one."""

    value: float
    low: float | None = None
    high: float | None = None

    @property
    def values(self) -> list[float]:
        """All that must be inside of the axis."""
        return [one for one in (self.value, self.low, self.high) if one is not None]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a panel: a mark for each series, None where it has none."""

    label: str
    marks: tuple[Mark | None, ...]


@dataclass(frozen=True, slots=True)
class Panel:
    """Rows over one axis."""

    title: str
    rows: tuple[Row, ...]


def intervals(panels: Sequence[Panel], title: str, series: Sequence[str] = ("",), *, zero: bool = False) -> str:
    """Panels below each other: for each row a dot with its interval for each series.

    The axis begins at zero if all values are positive; `zero` draws a line there, for differences. Without any value
    there is no drawing: ''.
    """
    drawn = [Panel(panel.title, tuple(row for row in panel.rows if any(row.marks))) for panel in panels]
    drawn = [panel for panel in drawn if panel.rows]
    if not drawn:
        return ""
    sheet = _Sheet()
    top = _legend(sheet, series) if any(series) else 4.0
    for panel in drawn:
        top = _panel(sheet, panel, top, zero)
    described = [_say(panel, row, series) for panel in drawn for row in panel.rows]
    return sheet.svg(top, title, " ".join(described))


def curve(
    points: Sequence[tuple[float, Mark]],
    title: str,
    *,
    x_name: str,
    y_name: str,
    x_text: Callable[[float], str],
    chosen: tuple[float, float] | None = None,
    chosen_name: str = "",
    level: float | None = None,
) -> str:
    """Values over x, in order of x, with a band for their intervals; '' without points.

    `chosen` is a point with a ring and a name, `level` a horizontal line to compare with.
    """
    if not points:
        return ""
    points = sorted(points, key=lambda point: point[0])
    sheet, top, bottom = _Sheet(), 24.0, 210.0
    ys = [value for _, mark in points for value in mark.values]
    ys += [] if chosen is None else [chosen[1]]
    ys += [] if level is None else [level]
    xs = [x for x, _ in points] + ([] if chosen is None else [chosen[0]])
    y = _Axis.around(ys, bottom, top, from_zero=False)
    x = _Axis.around(xs, _LEFT + 44, _RIGHT - 8, from_zero=False)
    for tick in y.ticks():
        sheet.line(_LEFT + 44, y(tick), _RIGHT, y(tick), "grid")
        sheet.text(_LEFT + 38, y(tick) + 4, _number(tick, y.step), "muted", "end")
    for tick in x.ticks():
        sheet.text(x(tick), bottom + 17, x_text(tick), "muted", "middle")
    sheet.text(_LEFT, 12, y_name, "strong")
    sheet.text(_RIGHT, bottom + 34, x_name, "muted", "end")
    if level is not None:
        sheet.line(_LEFT + 44, y(level), _RIGHT, y(level), "zero")
    band = [(x(place), y(mark.high)) for place, mark in points if mark.high is not None]
    band += [(x(place), y(mark.low)) for place, mark in reversed(points) if mark.low is not None]
    sheet.path(band, "band", closed=True)
    sheet.path([(x(place), y(mark.value)) for place, mark in points], "curve")
    for place, mark in points:
        sheet.mark(x(place), y(mark.value), 0)
    if chosen is not None:
        _ring(sheet, x(chosen[0]), y(chosen[1]), chosen_name)
    described = "; ".join(f"{x_text(place)}: {_value(mark)}" for place, mark in points)
    return sheet.svg(bottom + 42, title, f"{y_name} over {x_name}. {described}.")


def _panel(sheet: _Sheet, panel: Panel, top: float, zero: bool) -> float:
    """Draws a panel and returns where the next one begins."""
    values = [value for row in panel.rows for mark in row.marks if mark for value in mark.values]
    axis = _Axis.around([*values, 0.0] if zero else values, _LEFT, _RIGHT, from_zero=True)
    top += 14
    sheet.text(_LEFT, top, panel.title, "strong")
    top += 8
    tracks = [_LABEL + _TRACK * len(row.marks) + _GAP for row in panel.rows]
    bottom = top + sum(tracks)
    for tick in axis.ticks():
        kind = "zero" if zero and tick == 0 else "grid"
        sheet.line(axis(tick), top, axis(tick), bottom, kind)
        anchor = "start" if axis(tick) < _LEFT + 12 else "end" if axis(tick) > _RIGHT - 12 else "middle"
        sheet.text(axis(tick), bottom + 14, _number(tick, axis.step), "muted", anchor)
    for row, height in zip(panel.rows, tracks, strict=True):
        _row(sheet, row, axis, top, signed=zero)
        top += height
    return bottom + 24


def _row(sheet: _Sheet, row: Row, axis: _Axis, top: float, *, signed: bool) -> None:
    value = row.marks[0] if len(row.marks) == 1 else None
    sheet.text(_LEFT, top + 14, _short(row.label, 34 if value else 50), "")
    if value is not None:
        sheet.text(_RIGHT, top + 14, f"{value.value:+.4f}" if signed else f"{value.value:.4f}", "number", "end")
    for series, mark in enumerate(row.marks):
        if mark is None:
            continue
        y = top + _LABEL + _TRACK * (series + 0.5)
        if mark.low is not None and mark.high is not None:
            sheet.line(axis(mark.low), y, axis(mark.high), y, f"whisker s{series}")
        sheet.mark(axis(mark.value), y, series)


def _legend(sheet: _Sheet, series: Sequence[str]) -> float:
    for place, name in enumerate(series):
        sheet.mark(_LEFT + 6, 10 + 17.0 * place, place)
        sheet.text(_LEFT + 18, 14 + 17.0 * place, _short(name, 48), "")
    return 17.0 * len(series) + 6


def _ring(sheet: _Sheet, x: float, y: float, name: str) -> None:
    sheet.parts.append(f'<circle class="ring" cx="{x:.1f}" cy="{y:.1f}" r="8"/>')
    left = x > WIDTH / 2
    sheet.text(x + (-12 if left else 12), y + 22, name, "strong", "end" if left else "start")


@dataclass(frozen=True, slots=True)
class _Axis:
    """Values from `low` to `high` at places from `start` to `end`."""

    low: float
    high: float
    start: float
    end: float
    step: float

    @classmethod
    def around(cls, values: Sequence[float], start: float, end: float, *, from_zero: bool) -> _Axis:
        """An axis that holds the values, ends at ticks, and begins at zero if asked and nothing is below."""
        low, high = min(values), max(values)
        if from_zero and low >= 0:
            low = 0.0
        span = max(high - low or abs(high) or 1.0, 1e-300)  # a quarter of the smallest numbers would be 0
        raw = span / 4
        power = 10.0 ** math.floor(math.log10(raw))
        step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw * 0.999)
        bottom, top = math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step
        return cls(bottom, top if top > bottom else bottom + step, start, end, step)

    def __call__(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Round numbers from end to end."""
        first = round(self.low / self.step)
        return [(first + place) * self.step for place in range(round((self.high - self.low) / self.step) + 1)]


@dataclass(slots=True)
class _Sheet:
    """The elements of a drawing."""

    parts: list[str] = field(default_factory=list)

    def line(self, x1: float, y1: float, x2: float, y2: float, kind: str) -> None:
        self.parts.append(f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>')

    def text(self, x: float, y: float, text: str, kind: str, anchor: str = "start") -> None:
        self.parts.append(
            f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(_printable(text))}</text>'
        )

    def path(self, points: Sequence[tuple[float, float]], kind: str, *, closed: bool = False) -> None:
        if points:
            way = " L".join(f"{x:.1f} {y:.1f}" for x, y in points)
            self.parts.append(f'<path class="{kind}" d="M{way}{" Z" if closed else ""}"/>')

    def mark(self, x: float, y: float, series: int) -> None:
        """Circle, square, diamond, triangle, bar: what a series is can be seen without its colour."""
        shapes = (
            f'<circle class="s{series}" cx="{x:.1f}" cy="{y:.1f}" r="4.5"/>',
            f'<rect class="s{series}" x="{x - 4:.1f}" y="{y - 4:.1f}" width="8" height="8"/>',
            f'<path class="s{series}" d="M{x:.1f} {y - 5.5:.1f} l5.5 5.5 l-5.5 5.5 l-5.5 -5.5 Z"/>',
            f'<path class="s{series}" d="M{x:.1f} {y - 5:.1f} l5 9 l-10 0 Z"/>',
            f'<rect class="s{series}" x="{x - 2:.1f}" y="{y - 5.5:.1f}" width="4" height="11"/>',
        )
        self.parts.append(shapes[series % MAX_SERIES])

    def svg(self, height: float, title: str, description: str) -> str:
        return (
            f'<svg role="img" viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}" height="{height:.0f}">'
            f"<title>{escape(_printable(title))}</title><desc>{escape(_printable(description))}</desc>"
            f"{''.join(self.parts)}</svg>"
        )


def _say(panel: Panel, row: Row, series: Sequence[str]) -> str:
    said = [
        f"{name}{': ' if name else ''}{_value(mark)}"
        for name, mark in zip(series, row.marks, strict=True)
        if mark is not None
    ]
    return f"{panel.title}, {row.label}: {'; '.join(said)}."


def _value(mark: Mark) -> str:
    if mark.low is None or mark.high is None:
        return f"{mark.value:.4f}"
    return f"{mark.value:.4f} ({mark.low:.4f} to {mark.high:.4f})"


def _number(value: float, step: float) -> str:
    """A tick with as many digits as the step between ticks needs."""
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    if round(step, digits) != round(step, digits + 4):
        digits += 1
    return f"{value + 0.0:.{digits}f}"


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "\N{HORIZONTAL ELLIPSIS}"


def _printable(text: str) -> str:
    """Without characters that XML does not allow."""
    return "".join(character for character in text if character in "\t\n" or character.isprintable())
