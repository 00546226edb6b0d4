"""The call of the language model for a slate: when it is made, within which time, and what is done where it fails."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from genrec.domain import RankedItem, Ranking
from genrec.errors import GuardError, ModelError, TemplateError
from genrec.pipeline.request import RecommendationRequest
from genrec.pipeline.slate import Slate
from genrec.pipeline.timing import StageClock
from genrec.ranking.base import Ranker, RankingTask
from genrec.scoring.scorer import Scorer
from genrec.settings import LlmSettings, Policy, Settings

FALLBACKS: Mapping[type[Exception], str] = {
    TimeoutError: "deadline",
    ModelError: "engine",
    GuardError: "guard",
    TemplateError: "prompt",
}
"""Failures after which the answer is the order without the language model, and how they are named in it."""
NOT_NEEDED = "not needed"
"""Why there is no ranking where the language model is not expected to change the answer."""


def should_call_llm(slate: Slate, asked: bool, policy: Policy, llm: LlmSettings, scorer: Scorer, k: int = 10) -> bool:
    """Whether serving has the model read a slate: under `fuse` only where that is expected to change the answer."""
    if not slate.candidates.items:
        return False
    return policy != "fuse" or llm.read == "always" or scorer.should_call_llm(slate.scores, k, asked)


async def read(
    ranker: Ranker | None,
    request: RecommendationRequest,
    policy: Policy,
    slate: Slate,
    settings: Settings,
    scorer: Scorer,
    fixed: asyncio.Queue[RankedItem | None],
    clock: StageClock,
) -> tuple[Ranking | None, str | None]:
    """The model's ranking, and why there is none (or only a part of one).

    `fixed` gets each item whose place is fixed before the others', and None at the end.
    """
    partial: list[RankedItem] = []

    def on_item(item: RankedItem) -> None:
        partial.append(item)
        if policy == "annotate" and len(partial) <= request.k:
            fixed.put_nowait(item)

    try:
        if ranker is None:
            return None, "no language model"
        if not slate.candidates.items:
            return None, None
        if not should_call_llm(slate, bool(request.query), policy, settings.llm, scorer, request.k):
            return None, NOT_NEEDED
        task = RankingTask(
            slate.history,
            slate.candidates,
            request.query,
            request.context,
            settings.ranking.seed,
            request.cache_salt,
        )
        with clock("llm"):
            async with asyncio.timeout(settings.llm.deadline_s):
                return await ranker.rank(task, request.k if policy == "annotate" else None, on_item), None
    except (TimeoutError, ModelError, GuardError, TemplateError) as error:
        reason = next(reason for kind, reason in FALLBACKS.items() if isinstance(error, kind))
        # A part of a list is of use only where the list itself is the answer.
        keep = partial and policy == "annotate"
        return (Ranking(tuple(partial), ranker.name) if ranker and keep else None), reason
    finally:
        fixed.put_nowait(None)
