"""Many slates read by a ranker outside of an answer: what the weight of the language model is learned on."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from genrec.data.interactions import FloatArray
from genrec.fitting.scoring import Asked, Readers, ReadSlates
from genrec.llm.base import LanguageModel
from genrec.llm.loading import load
from genrec.ranking.base import Ranker, RankingTask
from genrec.ranking.loading import ranker_for, reader_named, reader_of
from genrec.reranking.validity import llm_scores
from genrec.settings import Settings
from genrec.text.encoders import Progress


async def read_slates(
    ranker: Ranker, slates: Sequence[Asked], settings: Settings, progress: Progress | None = None, who: str = ""
) -> list[FloatArray | None]:
    """What the ranker says of each slate, as `validity.llm_scores` has it: its weight is learned on this."""
    found: list[FloatArray | None] = []
    for history, candidates, query in slates:
        ranking = await ranker.rank(RankingTask(history, candidates, query, seed=settings.ranking.seed))
        found.append(llm_scores(ranking, candidates))
        if progress:
            progress(f"slates read by {who or 'the language model'}", len(found), len(slates))
    return found


def loaded_reader(
    model: LanguageModel,
    ranker: Ranker,
    settings: Settings,
    run: Callable[[Coroutine[Any, Any, list[FloatArray | None]]], list[FloatArray | None]],
    progress: Progress | None = None,
) -> Readers:
    """The reader that a ranker on a loaded model is, whose work `run` does; none where the settings weigh nobody."""
    if not settings.llm.slates:
        return {}
    return {reader_of(model, ranker): lambda slates: run(read_slates(ranker, slates, settings, progress))}


def named_readers(settings: Sequence[Settings], progress: Progress | None = None) -> Readers:
    """The readers of these settings, each of them loaded when it is to read, and closed behind it.

    Without those whose settings weigh nobody, or the package of their engine is not installed.
    """

    def reads(of: Settings) -> ReadSlates:
        async def read(slates: list[Asked]) -> list[FloatArray | None]:
            model = await load(of.model)
            try:
                return await read_slates(ranker_for(model, of), slates, of, progress, model.adapter or "")
            finally:
                await model.close()

        return read

    wanted = [of for of in settings if of.llm.slates and importlib.util.find_spec(of.model.engine)]
    return {reader_named(of): reads(of) for of in wanted}
