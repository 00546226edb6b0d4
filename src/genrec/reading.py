"""Many slates read by a ranker outside of an answer: what the weight of the language model is learned on."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from genrec.checks import llm_scores
from genrec.combining import Asked
from genrec.data.interactions import FloatArray
from genrec.llm.loading import load
from genrec.ranking.base import Ranker, RankingTask
from genrec.ranking.loading import ranker_for
from genrec.settings import Settings


async def read_slates(
    ranker: Ranker,
    slates: Sequence[Asked],
    settings: Settings,
    progress: Callable[[str, int, int], None] | None = None,
) -> list[FloatArray | None]:
    """What the ranker says of each slate, as `checks.llm_scores` has it: its weight is learned on this."""
    found: list[FloatArray | None] = []
    for history, candidates, request in slates:
        ranking = await ranker.rank(RankingTask(history, candidates, request, seed=settings.ranking.seed))
        found.append(llm_scores(ranking, candidates))
        if progress:
            progress("slates read by the language model", len(found), len(slates))
    return found


def slate_reader(
    settings: Settings, progress: Callable[[str, int, int], None] | None = None
) -> Callable[[Sequence[Asked]], Coroutine[Any, Any, list[FloatArray | None]]] | None:
    """Reads validation slates with the model of the settings; None where the settings or the installation have none."""
    if not settings.checks.llm_slates or importlib.util.find_spec(settings.model.engine) is None:
        return None

    async def read(slates: Sequence[Asked]) -> list[FloatArray | None]:
        model = await load(settings.model)
        try:
            return await read_slates(ranker_for(model, settings), slates, settings, progress)
        finally:
            await model.close()

    return read
