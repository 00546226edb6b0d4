"""Traces of exposures: what each stage of the pipeline did to the items that were shown, and to the best that were not.

A trace is a record for people who ask later why, in a form that stays small: its JSON has no names, four significant
digits, and each reason once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

MOST_BYTES = 3900
"""What was left out is told as far as there is room: with the shown items a trace takes no more than this, unless they
alone do. With its list and its template an exposure stays below 4 KB."""


@dataclass(frozen=True, slots=True)
class TracedItem:
    """An item that was shown. `sources` has the raw score of each retriever that proposed it, `before` is P(click)
    without the language model, None where it was not read. For the others see `genrec.domain.RecommendedItem`.
    """

    item_id: str
    sources: Mapping[str, float]
    retriever_score: float
    p_click: float
    p_like: float | None
    value: float
    llm_score: float | None = None
    before: float | None = None
    moved: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LeftOut:
    """An item that was not shown, the stage that left it out and why; P(click) where it got so far."""

    item_id: str
    stage: str
    reason: str
    p_click: float | None = None


@dataclass(frozen=True, slots=True)
class Trace:
    """How one list came about. `counts` has sizes, `versions` names of policy, model, adapter, workspace and genrec."""

    shown: tuple[TracedItem, ...]
    left_out: tuple[LeftOut, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    versions: Mapping[str, str | None] = field(default_factory=dict)

    def to_json(self) -> str:
        """Small text; the last of `left_out` are not in it where it would be too long."""
        left_out = self.left_out
        while len((text := _encoded(replace(self, left_out=left_out))).encode()) > MOST_BYTES and left_out:
            left_out = left_out[:-1]
        return text

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Reads what `to_json` wrote."""
        data = json.loads(text)
        names, reasons = data["sources"], data["reasons"]
        return cls(
            tuple(
                TracedItem(
                    one,
                    {names[n]: score for n, score in sources},
                    at,
                    p_click,
                    p_like,
                    value,
                    llm,
                    before,
                    tuple(moved),
                )
                for one, sources, at, p_click, p_like, value, llm, before, moved in data["shown"]
            ),
            tuple(LeftOut(one, reasons[n][0], reasons[n][1], p_click) for one, n, p_click in data["left_out"]),
            data["counts"],
            data["versions"],
        )


def _encoded(trace: Trace) -> str:
    names = list(dict.fromkeys(name for one in trace.shown for name in one.sources))
    reasons = list(dict.fromkeys((one.stage, one.reason) for one in trace.left_out))
    data = {
        "shown": [_shown(one, names) for one in trace.shown],
        "left_out": [
            [one.item_id, reasons.index((one.stage, one.reason)), _short(one.p_click)] for one in trace.left_out
        ],
        "sources": names,
        "reasons": reasons,
        "counts": dict(trace.counts),
        "versions": dict(trace.versions),
    }
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"))


def _shown(one: TracedItem, names: Sequence[str]) -> list[Any]:
    numbers = (one.retriever_score, one.p_click, one.p_like, one.value, one.llm_score, one.before)
    sources = [[names.index(name), _short(score)] for name, score in one.sources.items()]
    return [one.item_id, sources, *map(_short, numbers), one.moved]


def _short(number: float | None) -> float | None:
    return None if number is None else float(f"{number:.4g}")
