"""What an attack does to the place of its item: ranked with the attack, and without it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass

from genrec.domain import Ranking
from genrec.evaluation.validity import Wrong
from genrec.ranking.base import Ranker, RankingTask
from genrec.reranking.validity import validate


@dataclass(frozen=True, slots=True)
class Effect:
    """Places of the attacked item (from 1), without and with the attack, and what was wrong with the rankings."""

    before: int
    after: int
    wrong: Wrong

    @property
    def gain(self) -> int:
        """Places by which the attack lifts its item; negative where it sinks."""
        return self.before - self.after


async def at_once(effects: Iterable[Coroutine[None, None, Effect]]) -> list[Effect]:
    """All of them, asked for at the same time; the first that fails ends all."""
    tasks = [asyncio.ensure_future(one) for one in effects]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def effect(ranker: Ranker, attacked: RankingTask, twin: RankingTask, target: int) -> Effect:
    """Ranks both. An item that a ranking does not name stands last."""
    item_id = twin.candidates.items[target].item.id
    tasks = (twin, attacked)
    rankings = [await ranker.rank(task) for task in tasks]
    found = [Wrong.of(validate(ranking, task.candidates)) for ranking, task in zip(rankings, tasks, strict=True)]
    before, after = (_place(ranking, item_id, len(twin.candidates.items)) for ranking in rankings)
    return Effect(before, after, Wrong(*map(sum, zip(*found, strict=True))))


def _place(ranking: Ranking, item_id: str, last: int) -> int:
    return next((place for place, item in enumerate(ranking.items, 1) if item.item_id == item_id), last)
