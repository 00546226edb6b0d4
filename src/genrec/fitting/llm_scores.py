"""Many slates read by a ranker outside of an answer: what the weight of the language model is learned on."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from genrec.data.interactions import FloatArray
from genrec.fitting.scoring import Asked, LlmRankers, ReadSlates
from genrec.llm.base import LanguageModel
from genrec.llm.loading import load
from genrec.ranking.base import Ranker, RankingTask
from genrec.ranking.loading import llm_ranker_key_in, llm_ranker_key_of, ranker_for
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


def loaded_llm_ranker(
    model: LanguageModel,
    ranker: Ranker,
    settings: Settings,
    run: Callable[[Coroutine[Any, Any, list[FloatArray | None]]], list[FloatArray | None]],
    progress: Progress | None = None,
) -> LlmRankers:
    """The ranker on a loaded model, whose work `run` does, by its key; none where the settings learn no weights."""
    if not settings.llm.slates:
        return {}
    return {llm_ranker_key_of(model, ranker): lambda slates: run(read_slates(ranker, slates, settings, progress))}


def named_llm_rankers(settings: Sequence[Settings], progress: Progress | None = None) -> LlmRankers:
    """The rankers of these settings by their keys, each loaded when it is called, and closed behind it.

    Without those whose settings learn no weights, or whose engine has no package installed.
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
    return {llm_ranker_key_in(of): reads(of) for of in wanted}
