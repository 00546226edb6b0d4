"""The cases that every template must have, and what makes each of them what its name says."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

from genrec.prompting.cases import CaseInputs, CaseItem
from genrec.prompting.template import Template

_CHINESE = re.compile("[\u4e00-\u9fff]")
_LONG = 100


@dataclass(frozen=True, slots=True)
class Requirement:
    """What a case must have, in words and as a test of its inputs."""

    what: str
    holds: Callable[[CaseInputs, Template], bool]


def _items(inputs: CaseInputs) -> tuple[CaseItem, ...]:
    return inputs.history + inputs.candidates


def _has_title(test: Callable[[str], bool]) -> Callable[[CaseInputs, Template], bool]:
    return lambda inputs, _: any(test(item.title) for item in _items(inputs))


def _candidates(inputs: CaseInputs) -> int:
    return sum(item.count for item in inputs.candidates)


def _many(inputs: CaseInputs, template: Template) -> bool:
    spec = template.inputs.get("candidates")
    return _candidates(inputs) >= min(100, (spec and spec.max_items) or 100)


def _is_right_to_left(title: str) -> bool:
    return any(unicodedata.bidirectional(letter) in ("R", "AL") for letter in title)


OBLIGATORY = {
    "empty-history": Requirement("no history", lambda inputs, _: not inputs.history),
    "one-candidate": Requirement("one candidate", lambda inputs, _: _candidates(inputs) == 1),
    "hundred-candidates": Requirement("100 candidates, or as many as max_items lets in", _many),
    "longest-titles": Requirement(
        f"a title of {_LONG} characters or more", _has_title(lambda title: len(title) >= _LONG)
    ),
    "chinese-titles": Requirement("a Chinese title", _has_title(lambda title: bool(_CHINESE.search(title)))),
    "right-to-left-titles": Requirement("an Arabic or Hebrew title", _has_title(_is_right_to_left)),
    "hostile-titles": Requirement(
        "a title with a control string or template code",
        _has_title(lambda title: "<|" in title or "{{" in title or "{%" in title),
    ),
    "no-metadata": Requirement(
        "no fields but titles", lambda inputs, _: not any(item.model_extra for item in _items(inputs))
    ),
    "contradicting-request": Requirement(
        "a history and a request", lambda inputs, _: bool(inputs.history and inputs.query)
    ),
}
"""Every template needs all of them."""
