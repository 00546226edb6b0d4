"""Learning the fusion: what serving would have proposed where we know what users did next, and what was read of it."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from genrec.checks import prune
from genrec.clicks.scorer import ClickScorer
from genrec.data.interactions import FloatArray
from genrec.domain import Candidates, History, Item
from genrec.encoder import Progress
from genrec.fusion.language_model import Slate, curve
from genrec.fusion.model import Fusion
from genrec.fusion.pools import Pool, pool_of
from genrec.learning.positions import HeldOutPositions
from genrec.learning.requests import RequestSimulator
from genrec.retrieval.blend import Blend
from genrec.settings import Settings

Asked = tuple[History, Candidates, str | None]
"""A slate, and the request in words that goes with it."""
Read = Sequence[FloatArray | None]
ReadSlates = Callable[[list[Asked]], Read | Awaitable[Read]]
"""Gives, for each slate, what `checks.llm_scores` makes of a ranker's answer; None where there is none."""


@dataclass(frozen=True, eq=False)
class _Case:
    """What retrieval proposed at a position, and which of it the user then chose."""

    history: History
    candidates: Candidates
    pool: Pool
    target: int
    chosen: Item


def fit_fusion(
    positions: HeldOutPositions,
    items: Sequence[Item],
    blend: Blend,
    clicks: ClickScorer,
    settings: Settings,
    llm_scores: ReadSlates | None,
    progress: Progress | None,
) -> tuple[Fusion, dict[str, Any]]:
    """The fusion, and an account of what it was learned on.

    The second stage learns on training users; validation users choose its kind, and the weight of the language model,
    whose adapter may have been tuned on the others, is learned on them alone.
    """
    train = _cases(positions, positions.train, items, blend, clicks, settings, progress)
    validation = _cases(positions, positions.validation, items, blend, clicks, settings, progress)
    fusion = Fusion.fit(
        [(case.pool, case.target) for case in train], [(case.pool, case.target) for case in validation], progress
    )
    measured = {
        "positions": len(positions.train),
        "in_pool": len(train),
        "validation_positions": len(positions.validation),
        "validation_in_pool": len(validation),
    }
    if llm_scores is not None and settings.checks.llm_slates:
        fusion, read = _with_language_model(fusion, validation, items, settings, llm_scores)
        measured |= read
    return fusion, {**fusion.record, "llm": asdict(fusion.llm), **measured}


def _cases(
    positions: HeldOutPositions,
    rows: Sequence[int] | Any,
    items: Sequence[Item],
    blend: Blend,
    clicks: ClickScorer,
    settings: Settings,
    progress: Progress | None,
) -> list[_Case]:
    by_id = {item.id: item for item in items}
    cases = []
    for number, row in enumerate(rows):
        if progress and number % 50 == 0:
            progress("pools to learn from", number, len(rows))
        history, now = positions.request(int(row), items)
        chosen = items[int(positions.whole.item[row])]
        found = blend.candidates(
            history, settings.retrieval.pool, now=now, items=lambda ids: [by_id[item_id] for item_id in ids]
        )
        target = _place(found, chosen.id)
        if target is not None:
            cases.append(_Case(history, found, pool_of(found, history, clicks, now), target, chosen))
    if progress:
        progress("pools to learn from", len(rows), len(rows))
    return cases


def _with_language_model(
    fusion: Fusion,
    validation: Sequence[_Case],
    items: Sequence[Item],
    settings: Settings,
    llm_scores: ReadSlates,
) -> tuple[Fusion, dict[str, Any]]:
    simulator, generator = RequestSimulator(items), np.random.default_rng(0)
    plain: list[tuple[Asked, Slate]] = []
    asked: list[tuple[Asked, Slate]] = []
    for case in validation:
        base = fusion.base(case.pool)
        slate, kept = prune(case.candidates, base, settings.retrieval.candidates)
        place = _place(slate, case.chosen.id)
        if place is None or len(slate.items) < 2:
            continue
        events, unread = case.pool.events, np.zeros(len(kept))
        request = simulator.request(case.chosen, generator)
        if len(plain) < settings.checks.llm_slates:
            plain.append(((case.history, slate, None), Slate(base[kept], unread, place, events)))
        elif request and len(asked) < settings.checks.llm_slates:
            asked.append(((case.history, slate, request), Slate(base[kept], unread, place, events, True)))
    chosen = plain + asked
    if not chosen:
        return fusion, {"llm_slates": 0}
    answers = llm_scores([question for question, _ in chosen])
    scores = asyncio.run(_awaited(answers)) if inspect.isawaitable(answers) else answers
    read = [
        Slate(slate.base, llm, slate.target, slate.events, slate.request)
        for (_, slate), llm in zip(chosen, scores, strict=True)
        if llm is not None
    ]
    fused = fusion.with_language_model(read)
    measured: dict[str, Any] = {"llm_slates": len(read)}
    if any(not slate.request for slate in read):
        measured["cost_curve"] = curve(fused.llm, [slate for slate in read if not slate.request])
    return fused, measured


def _place(slate: Candidates, item_id: str) -> int | None:
    ids = [candidate.item.id for candidate in slate.items]
    return ids.index(item_id) if item_id in ids else None


async def _awaited(answers: Awaitable[Read]) -> Read:
    return await answers
