"""A step that moves or renames changes no answer: 200 fixed requests are answered as is checked in.

Where answers are to change, `python tests/golden/golden_requests.py` writes them anew; the diff is then part of the
change.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from golden_requests import EXPECTED, REQUESTS, answered, expected
from golden_workspace import FAULTY, SOUND


def differences(wanted: Any, found: Any, place: str = "") -> Iterator[str]:
    """Where two records differ, a line each.

    Numbers may differ in their last digit, as the order of a sum, and so its rounding, depends on the CPU.
    """
    if isinstance(wanted, dict) and isinstance(found, dict):
        if list(wanted) != list(found):
            yield f"{place}: {', '.join(wanted)} -> {', '.join(found)}"
        for key in (key for key in wanted if key in found):
            yield from differences(wanted[key], found[key], f"{place}.{key}".lstrip("."))
    elif isinstance(wanted, list) and isinstance(found, list) and len(wanted) == len(found):
        for index, pair in enumerate(zip(wanted, found, strict=True)):
            yield from differences(*pair, f"{place}[{index}]")
    elif isinstance(wanted, float) and isinstance(found, float):
        if not math.isclose(wanted, found, rel_tol=1e-3, abs_tol=1e-5):
            yield f"{place}: {wanted} -> {found}"
    elif wanted != found:
        yield f"{place}: {wanted!r} -> {found!r}"


def test_the_answers_are_those_that_are_checked_in(tmp_path: Path) -> None:
    wrong = [
        (wanted, said)
        for wanted, found in zip(expected(), answered(tmp_path), strict=True)
        if (said := list(differences(wanted, found)))
    ]
    if wrong:
        first, said = wrong[0]
        lines = [
            f"{len(wrong)} of {REQUESTS} requests are answered otherwise, the first is number {first['number']}:",
            f"{first['service']}: {first['asked']}",
            *said,
            "where that is meant: python tests/golden/golden_requests.py",
        ]
        raise AssertionError("\n".join(lines))


def test_what_is_checked_in_covers_the_path() -> None:
    lines = expected()
    assert "genrec." not in EXPECTED.read_text("utf-8")  # modules may move
    assert len(lines) == REQUESTS
    assert {*SOUND, *FAULTY} == {line["service"] for line in lines}
    made = [line["provenance"] for line in lines]
    assert {"annotate", "fuse", "veto"} == {one["policy"] for one in made}
    assert {"pointwise", "single_pass", "listwise", "none"} == {one["ranker"] for one in made}
    faults = {"engine", "deadline", "prompt", "invalid", "no language model", "not needed"}
    assert faults <= {one["fallback"] for one in made}
    dropped = Counter(said.split(":")[0].split(" below")[0] for line in lines for said in line["dropped"])
    assert {"seen", "blocked", "excluded", "sponsored", "condition", "p_click"} == set(dropped)
    sources = {name for line in lines for item in line["items"].values() for name in item["sources"].split("+")}
    assert {"covisit", "semantic", "item_knn", "popular", "query", "caller"} <= sources
    told = [line["explained"] for line in lines if "explained" in line]
    assert {"en", "zh"} == {one["language"] for one in told}
    assert any(one["written"] for one in told)
    assert any(one["text"] for one in told)
    assert any(line["exposure"] and line["exposure"]["odds"][0] for line in lines)
    assert sum(not line["items"] for line in lines) < 20
