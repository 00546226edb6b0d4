"""Many slates read by a ranker outside of an answer: what the weight of the language model is learned on."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from genrec.checks import llm_scores
from genrec.data.interactions import FloatArray
from genrec.domain import Candidates, History
from genrec.llm.loading import load
from genrec.ranking.base import Ranker, RankingTask
from genrec.ranking.loading import ranker_for
from genrec.settings import Settings


async def read_slates(
    ranker: Ranker,
    slates: Sequence[tuple[History, Candidates]],
    settings: Settings,
    progress: Callable[[str, int, int], None] | None = None,
) -> list[FloatArray | None]:
    """What the ranker says of slates, as `checks.llm_scores` has it: the weight of the model is learned on this.

    It reads the first `settings.checks.llm_slates` of them; for the others the list has None.
    """
    count = min(settings.checks.llm_slates, len(slates))
    found: list[FloatArray | None] = [None] * len(slates)
    for number, (history, candidates) in enumerate(slates[:count]):
        ranking = await ranker.rank(RankingTask(history, candidates, seed=settings.ranking.seed))
        found[number] = llm_scores(ranking, candidates)
        if progress:
            progress("slates read by the language model", number + 1, count)
    return found


def slate_reader(
    settings: Settings, progress: Callable[[str, int, int], None] | None = None
) -> Callable[[Sequence[tuple[History, Candidates]]], Coroutine[Any, Any, list[FloatArray | None]]] | None:
    """Reads validation slates with the model of the settings; None where the settings or the installation have none."""
    if not settings.checks.llm_slates or importlib.util.find_spec(settings.model.engine) is None:
        return None

    async def read(slates: Sequence[tuple[History, Candidates]]) -> list[FloatArray | None]:
        model = await load(settings.model)
        try:
            return await read_slates(ranker_for(model, settings), slates, settings, progress)
        finally:
            await model.close()

    return read
