"""200 fixed requests and what is recorded of their answers. Run as a script it writes `expected.jsonl` anew:

python tests/golden/golden_requests.py
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from golden_catalogue import FIRST, ITEMS, USERS
from golden_workspace import FAULTY, SOUND, GoldenWorkspace

from genrec.data.sqlite.store import SqliteStore
from genrec.data.store import Exposure
from genrec.domain import History, HistoryEntry, Item, Recommendation, TemplateRef
from genrec.explanation.explain import Explained, converse, explain, explained
from genrec.pipeline.slate import RecommendationRequest

EXPECTED = Path(__file__).with_name("expected.jsonl")
REQUESTS = 200
WORDS = (
    "something silent with a garden",
    "a crime story of winter",
    "来一部爱情片",
    "golden letters",
    "Sci-Fi by Ada Reed",
)
WHERE: Sequence[Mapping[str, Any]] = (
    {"genres": ["drama", "Comedy"]},
    {"year": {"min": 1975}},
    {"year": {"min": 1960, "max": 2010}, "domain": "video"},
    {"director": "Ada Reed"},
)
CONTEXT = {"time": "Friday evening", "device": "television"}


@dataclass(frozen=True)
class Asked:
    """One request: which service it goes to, its fields as JSON, and how it is to be explained."""

    service: str
    fields: Mapping[str, Any]
    how: str | None

    def request(self, items: Sequence[Item]) -> RecommendationRequest:
        """As the pipeline takes it; `history` are positions of items in the catalogue."""
        fields = dict(self.fields)
        words = fields.pop("words", None)
        if "history" in fields:
            entries = [
                HistoryEntry(items[item], FIRST + 1000 * place, "watch", float(1 + item % 5) if item % 2 else None)
                for place, item in enumerate(fields["history"])
            ]
            fields["history"] = History(None, tuple(entries))
        tuples = {name: tuple(fields[name]) for name in ("candidate_ids", "exclude") if name in fields}
        return RecommendationRequest(query=words, **{**fields, **tuples})


def requests() -> Iterator[Asked]:
    """The requests, drawn by a seed; every fourth goes to a service with a fault."""
    generator = np.random.default_rng(5)

    def one_in(n: int) -> bool:
        return not generator.integers(n)

    def some(sequence: Sequence[Any]) -> Any:
        return sequence[generator.integers(len(sequence))]

    def item_ids(most: int) -> list[str]:
        chosen = generator.choice(ITEMS, int(generator.integers(1, most)), replace=False)
        return [f"i{item}" for item in chosen.tolist()]

    sound, faulty = list(SOUND), list(FAULTY)
    for number in range(REQUESTS):
        faults = (number + 1) // 4
        service = faulty[faults % len(faulty)] if number % 4 == 3 else sound[(number - faults) % len(sound)]
        fields: dict[str, Any] = {"k": some((1, 3, 5, 5, 8, 12))}
        who = generator.integers(8)
        if who < 6:
            fields["user_id"] = f"u{some((3, 10, 17)) if one_in(4) else generator.integers(USERS)}"
        elif who == 6:
            fields["history"] = generator.choice(ITEMS, int(generator.integers(0, 12)), replace=False).tolist()
        if one_in(3):
            fields["words"] = some(WORDS)
        if one_in(4):
            fields["where"] = some(WHERE)
        if one_in(6):
            fields["candidate_ids"] = item_ids(14)
        if one_in(4):
            fields["exclude"] = item_ids(10)
        if one_in(5):
            fields["context"] = CONTEXT
        fields |= {name: True for name in ("keep_seen", "allow_sponsored") if one_in(4)}
        # Exploration is of the fused order only.
        if service != "explored" and not one_in(4):
            fields["policy"] = some(("annotate", "fuse", "veto"))
        how = some((None, None, None, "words", "model", "chat"))
        # How far a text comes before it is too late depends on the machine.
        yield Asked(service, fields, "words" if how and service == "too slow" else how)


def answered(folder: Path) -> list[dict[str, Any]]:
    """What is recorded of each request on the workspace that is made in this folder."""
    workspace = GoldenWorkspace(folder)
    found: list[tuple[Recommendation, dict[str, Any]]] = []

    async def ask_all() -> None:
        for asked in requests():
            workspace.heard.clear()
            recommender, request = workspace.recommenders[asked.service], asked.request(workspace.items)
            by, how = (converse, "model") if asked.how == "chat" else (explain, asked.how)
            answer, why = await explained(recommender, request, how, by)  # type: ignore[arg-type]
            line = {"service": asked.service, "asked": {**asked.fields, "explain": asked.how}, **_answer(answer)}
            line["read"], line["written"] = list(workspace.heard.read), list(workspace.heard.written)
            found.append((answer, line if why is None else {**line, "explained": _explained(why)}))

    try:
        asyncio.run(ask_all())
    finally:
        workspace.close()
    store = SqliteStore(workspace.database)
    exposures = {exposure.request_id: exposure for exposure in store.exposures()}
    store.close()
    lines = [{**line, "exposure": _exposure(exposures.get(answer.request_id))} for answer, line in found]
    return [json.loads(json.dumps({"number": number, **line})) for number, line in enumerate(lines)]


def _answer(answer: Recommendation) -> dict[str, Any]:
    made = answer.provenance
    return {
        "items": {
            f"{line.rank}. {line.item.id}": {
                "value": _number(line.value),
                "p_click": _number(line.p_click),
                "p_like": _number(line.p_like),
                "moved": list(line.moved),
                "llm": _number(line.llm_score),
                "retriever": _number(line.retriever_score),
                "sources": "+".join(line.sources),
            }
            for line in answer.items
        },
        "dropped": [
            f"{reason}: {' '.join(item.item_id for item in items)}"
            for reason, items in groupby(answer.dropped, lambda item: item.reason)
        ],
        "agreement": _number(answer.agreement),
        "provenance": {
            "version": made.workspace_version,
            "retriever": made.retriever,
            "ranker": made.ranker,
            "model": made.model,
            "adapter": made.adapter,
            "template": _template(made.template),
            "policy": made.policy,
            "fallback": made.fallback,
            "history": made.history_events,
            "candidates": made.candidates,
            "prompt_dropped": list(made.prompt_dropped),
            "tokens": [made.usage.prompt, made.usage.computed, made.usage.generated],
        },
    }


def _explained(why: Explained) -> dict[str, Any]:
    account = why.account
    return {
        "reasons": {item_id: list(reasons) for item_id, reasons in why.reasons.items()},
        "language": account.language,
        "template": _template(account.template),
        "written": list(account.written),
        "refused": dict(sorted(account.refused.items())),
        "text": why.text,
    }


def _exposure(exposure: Exposure | None) -> dict[str, Any] | None:
    if exposure is None:
        return None
    odds = exposure.propensities, exposure.prefix_propensities
    return {
        "user": exposure.user_id,
        "items": list(exposure.item_ids),
        "time": exposure.timestamp,
        "template": exposure.template_hash,
        "odds": [None if values is None else [_number(value) for value in values] for values in odds],
    }


def _template(template: TemplateRef | None) -> list[Any] | None:
    return None if template is None else [template.id, template.version, template.hash]


def _number(value: float | None) -> float | None:
    """Four significant digits."""
    return None if value is None else float(f"{value:.4g}")


def expected() -> list[dict[str, Any]]:
    """What is checked in, one request a line."""
    return [json.loads(line) for line in EXPECTED.read_text("utf-8").splitlines()]


def main() -> None:
    """Writes what the code answers now as what is expected."""
    with tempfile.TemporaryDirectory() as folder:
        lines = [json.dumps(line, ensure_ascii=False, separators=(",", ":")) for line in answered(Path(folder))]
    EXPECTED.write_text("\n".join(lines) + "\n", "utf-8")
    print(f"{EXPECTED}: {len(lines)} requests, {EXPECTED.stat().st_size} bytes")


if __name__ == "__main__":
    main()
