"""Learning the fusion: what serving would have proposed where we know what users did next, and what was read of it."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from genrec.clicks.scorer import ClickScorer
from genrec.data.interactions import FloatArray
from genrec.domain import Candidates, History, Item, Reader
from genrec.facts.extract import FactExtractor
from genrec.fitting.holdout import HeldOutPositions
from genrec.fitting.simulated_queries import RequestSimulator
from genrec.fusion.language_model import Slate, curve
from genrec.fusion.model import Fusion, Lesson
from genrec.fusion.pools import Pool, pool_of
from genrec.reranking.policy import prune
from genrec.retrieval.hybrid import HybridRetriever
from genrec.settings import Settings
from genrec.text.encoders import Progress

Asked = tuple[History, Candidates, str | None]
"""A slate, and the request in words that goes with it."""

MOST_REQUESTS = 500
"""Validation positions at which a request in words is simulated."""

Read = Sequence[FloatArray | None]
ReadSlates = Callable[[list[Asked]], Read | Awaitable[Read]]
"""Gives, for each slate, what `checks.llm_scores` makes of a ranker's answer; None where there is none."""
Readers = Mapping[Reader, ReadSlates]
"""Readers to be weighed, the default one first."""


@dataclass(frozen=True, eq=False)
class _Case:
    """What retrieval proposed at a position, for a request in words if there was one, and what the user chose of it."""

    history: History
    candidates: Candidates
    pool: Pool
    target: int
    query: str | None


def fit_fusion(
    positions: HeldOutPositions,
    items: Sequence[Item],
    blend: HybridRetriever,
    clicks: ClickScorer,
    settings: Settings,
    readers: Readers,
    progress: Progress | None,
    language: str = "en",
    seed: int = 0,
) -> tuple[Fusion, dict[str, Any]]:
    """The fusion, and an account of what it was learned on.

    The second stage learns on training users; validation users choose its kind. On them alone are learned the weights
    of simulated requests in words, and those of the readers, whose adapters may have been tuned on the others.
    """
    train = _cases(positions, positions.train, items, blend, clicks, settings, progress)
    validation = _cases(positions, positions.validation, items, blend, clicks, settings, progress)
    asking = positions.validation[:MOST_REQUESTS]
    asked = _cases(positions, asking, items, blend, clicks, settings, progress, RequestSimulator(items, language))
    fusion = Fusion.fit(_lessons(train), _lessons(validation), progress, seed).with_requests(_lessons(asked))
    measured: dict[str, Any] = {
        "positions": len(positions.train),
        "in_pool": len(train),
        "validation_positions": len(positions.validation),
        "validation_in_pool": len(validation),
        "requests_in_pool": len(asked),
    }
    evidence = FactExtractor(lambda: clicks.statistics, clicks.item_ids, lambda: items)
    most, size = settings.checks.llm_slates, settings.retrieval.candidates
    slates = [*_slates(fusion, validation, size, most, evidence), *_slates(fusion, asked, size, most, evidence)]
    measured["readers"] = []
    for reader, read in readers.items() if slates else ():
        fusion, account = _with_reader(fusion, reader, read, slates)
        measured["readers"].append(account)
    return fusion, {**fusion.record, "request": asdict(fusion.request), **measured}


def _cases(
    positions: HeldOutPositions,
    rows: Sequence[int] | Any,
    items: Sequence[Item],
    blend: HybridRetriever,
    clicks: ClickScorer,
    settings: Settings,
    progress: Progress | None,
    simulator: RequestSimulator | None = None,
) -> list[_Case]:
    """What is in reach at the given rows; with a simulator, of those that have words to ask for."""
    by_id, generator = {item.id: item for item in items}, np.random.default_rng(0)
    what = "pools to learn from" if simulator is None else "pools of requests in words"
    cases = []
    for number, row in enumerate(rows):
        if progress and number % 50 == 0:
            progress(what, number, len(rows))
        history, now = positions.request(int(row), items)
        chosen = items[int(positions.whole.item[row])]
        query = None if simulator is None else simulator.request(chosen, generator, "validation")
        if simulator is not None and query is None:
            continue
        found = blend.candidates(
            history,
            settings.retrieval.pool,
            now=now,
            items=lambda ids: [by_id[item_id] for item_id in ids],
            query=query,
        )
        target = _place(found, chosen.id)
        if target is not None:
            cases.append(_Case(history, found, pool_of(found, history, clicks, now), target, query))
    if progress:
        progress(what, len(rows), len(rows))
    return cases


def _lessons(cases: Sequence[_Case]) -> list[Lesson]:
    return [(case.pool, case.target) for case in cases]


def _with_reader(
    fusion: Fusion, reader: Reader, read_slates: ReadSlates, slates: Sequence[tuple[Asked, Slate]]
) -> tuple[Fusion, dict[str, Any]]:
    """The fusion with the weights of one more reader, and an account of them."""
    answers = read_slates([question for question, _ in slates])
    scores = asyncio.run(_awaited(answers)) if inspect.isawaitable(answers) else answers
    read = [replace(slate, llm=llm) for (_, slate), llm in zip(slates, scores, strict=True) if llm is not None]
    fusion = fusion.with_reader(reader, read)
    weights = fusion.weighed[reader]
    account = {**asdict(reader), "weights": asdict(weights)}
    plain = [slate for slate in read if not slate.request]
    return fusion, {**account, "cost_curve": curve(weights, plain)} if plain else account


def _slates(
    fusion: Fusion, cases: Sequence[_Case], size: int, most: int, evidence: FactExtractor
) -> list[tuple[Asked, Slate]]:
    """The first slates, as they are served, that hold the item that the user chose; not read yet."""
    found: list[tuple[Asked, Slate]] = []
    for case in cases:
        if len(found) == most:
            break
        base = fusion.base(case.pool)
        slate, kept = prune(case.candidates, base, size)
        chosen = case.candidates.items[case.target].item.id
        place = _place(slate, chosen)
        if place is not None and len(slate.items) > 1:
            unread = Slate(base[kept], np.zeros(len(kept)), place, case.pool.events, case.query is not None)
            found.append(((*evidence.attached(case.history, slate), case.query), unread))
    return found


def _place(slate: Candidates, item_id: str) -> int | None:
    ids = [candidate.item.id for candidate in slate.items]
    return ids.index(item_id) if item_id in ids else None


async def _awaited(answers: Awaitable[Read]) -> Read:
    return await answers
