"""Gates: what a run must reach, as short expressions that are parsed, never evaluated.

gate     = value comparison (number | value [how]) ["on" subset]
value    = name "." metric            fused.ndcg@10, validity.invalid
how      = "within interval"          not on the wrong side: the interval of the difference reaches zero
         | "significantly"            the interval of the difference excludes zero
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from genrec.errors import SettingsError

_NAME = r"[A-Za-z][\w-]*"
_VALUE = rf"(?P<{{0}}>{_NAME})\.(?P<{{1}}>{_NAME}(?:@\d+)?)"
_GATE = re.compile(
    rf"\s*{_VALUE.format('name', 'metric')}\s*(?P<sign>>=|<=|==|!=|>|<)\s*"
    rf"(?:(?P<number>-?\d+(?:\.\d+)?)|{_VALUE.format('other', 'other_metric')}"
    r"(?:\s+(?P<how>within\s+interval|significantly))?)"
    rf"(?:\s+on\s+(?P<subset>{_NAME}))?\s*"
)
_COMPARE: Mapping[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "==": operator.eq,
    "!=": operator.ne,
}
OF_READS = ("validity", "label_position", "agreement", "tokens", "latency_ms")
"""Figures of what the language model made of slates."""
FACTS = (*OF_READS, "candidate_recall")
"""Figures of a run itself that may stand in gates: keys of its record. They have no subsets."""
_HINT = (
    "write gates as: fused.ndcg@10 >= 0.10, fused.ndcg@10 >= retriever.ndcg@10 within interval, "
    "fused.ndcg@10 > ials.ndcg@10 significantly, validity.invalid == 0"
)

DifferenceOf = Callable[[str, str, str, str | None], Mapping[str, float] | None]
"""Gives mean, low and high of the paired difference of two systems in a metric, over all users or a subset."""


@dataclass(frozen=True, slots=True)
class Gate:
    """One gate, taken apart. `other` is None where a number is the bound."""

    text: str
    name: str
    metric: str
    sign: str
    number: float | None
    other: str | None
    how: str | None
    subset: str | None

    @property
    def systems(self) -> tuple[str, ...]:
        """Names on either side."""
        return (self.name,) if self.other is None else (self.name, self.other)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a gate, and the figures behind it in words."""

    gate: str
    passed: bool
    found: str


def parse(text: str) -> Gate:
    """The gate that the text says; SettingsError if it says none."""
    match = _GATE.fullmatch(text)
    if match is None:
        raise SettingsError(f"not a gate: {text!r}", _HINT)
    part = match.groupdict()
    how = None if part["how"] is None else " ".join(part["how"].split())
    if part["other_metric"] not in (None, part["metric"]):
        raise SettingsError(f"{text!r} compares two metrics", "compare two systems in the same metric")
    allowed = {"within interval": (">=", "<="), "significantly": (">", "<")}
    if how is not None and part["sign"] not in allowed[how]:
        raise SettingsError(f"{text!r}: '{how}' goes with {' or '.join(allowed[how])}", _HINT)
    number = None if part["number"] is None else float(part["number"])
    return Gate(text.strip(), part["name"], part["metric"], part["sign"], number, part["other"], how, part["subset"])


FEWEST = 20
"""Users that a significant difference takes: with three of one sign every resample has it."""


def judge(gates: Sequence[Gate], record: Mapping[str, Any], difference: DifferenceOf) -> list[Verdict]:
    """Each gate against the record of a run: its systems, and figures of the run itself such as `validity.invalid`.

    A figure that the record does not have, or that is undefined, fails its gate. Only where the language model has no
    weight in any answer, so that none was read, what is asked of its reading passes, and the verdict says why.
    """
    return [_judge(gate, record, difference) for gate in gates]


def _judge(gate: Gate, record: Mapping[str, Any], difference: DifferenceOf) -> Verdict:
    value = _figure(record, gate.name, gate.metric, gate.subset)
    bound = gate.number if gate.other is None else _figure(record, gate.other, gate.metric, gate.subset)
    if value is None or bound is None:
        missing = f"{gate.name if value is None else gate.other}.{gate.metric} was not measured"
        llm = record.get("language_model") if gate.name in OF_READS else None
        if llm is None or llm["read"]:
            return Verdict(gate.text, False, missing)
        weightless = llm["weight"] == 0
        why = ", as the weight of the language model is 0" if weightless else ""
        return Verdict(gate.text, weightless, f"{missing}: no slate was read{why}")
    if gate.how is None or gate.other is None:
        passed = _COMPARE[gate.sign](value, bound)
        return Verdict(gate.text, passed, f"{value:g}" if gate.other is None else f"{value:g} and {bound:g}")
    users = (record if gate.subset is None else record.get("subsets", {}).get(gate.subset, {})).get("users")
    if gate.how == "significantly" and users is not None and users < FEWEST:
        # Resamples of a handful of users hardly vary: their interval excludes 0 by luck.
        return Verdict(gate.text, False, f"only {users} users; {FEWEST} are the fewest for a significant difference")
    found = difference(gate.name, gate.other, gate.metric, gate.subset)
    if found is None:
        return Verdict(gate.text, False, "the difference is not defined")
    low, high = found["low"], found["high"]
    if gate.how == "significantly":
        passed = low > 0 if gate.sign == ">" else high < 0
    else:
        passed = high >= 0 if gate.sign == ">=" else low <= 0
    return Verdict(gate.text, passed, f"difference {found['mean']:+.4f}, from {low:+.4f} to {high:+.4f}")


def _figure(record: Mapping[str, Any], name: str, metric: str, subset: str | None) -> float | None:
    part = record if subset is None else record.get("subsets", {}).get(subset, {})
    row = part.get("systems", {}).get(name)
    if row is None and subset is None:
        row = record.get(name)
    value = row.get(metric) if isinstance(row, Mapping) else None
    return float(value) if isinstance(value, int | float) else None
