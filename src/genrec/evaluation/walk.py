"""Asking the recommender for each test user, as a server would, and noting what every part made of the slate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import cast

import numpy as np

from genrec.checks import Validity, apply_policy, validate
from genrec.data.interactions import FloatArray
from genrec.data.splits import Split
from genrec.data.store import Store
from genrec.domain import Candidates, History, RankedItem, Ranking, Recommendation, TemplateRef
from genrec.encoder import Progress
from genrec.errors import ModelError
from genrec.evaluation.cached import CachedModel
from genrec.fit import Fitted
from genrec.pipeline import RecommendationRequest, Recommender
from genrec.prompting.rendered import RenderedPrompt
from genrec.ranking.base import Ranker, RankingTask
from genrec.settings import Policy, Settings

_NO_DEADLINE_S = 3600.0


@dataclass(frozen=True, eq=False)
class Answer:
    """What happened for one user. `lists` has item ids for each system; `fresh`: no read came from the cache."""

    lists: dict[str, list[str]]
    recommendation: Recommendation
    validity: Validity
    fresh: bool


class Watched:
    """A ranker that keeps its last task and ranking, and otherwise is the one that it watches."""

    def __init__(self, ranker: Ranker) -> None:
        self.name, self.default_template = ranker.name, ranker.default_template
        self.task: RankingTask | None = None
        self.ranking: Ranking | None = None
        self._ranker = ranker

    @property
    def template(self) -> TemplateRef:
        """See Ranker."""
        return self._ranker.template

    def render(self, task: RankingTask) -> RenderedPrompt:
        """See Ranker."""
        return self._ranker.render(task)

    async def rank(
        self, task: RankingTask, k: int | None = None, on_item: Callable[[RankedItem], None] | None = None
    ) -> Ranking:
        """See Ranker."""
        self.task, self.ranking = task, None
        self.ranking = await self._ranker.rank(task, k, on_item)
        return self.ranking


class Walk:
    """Asks the recommender for every user of a split and notes what it did."""

    def __init__(
        self, store: Store, settings: Settings, fitted: Fitted, split: Split, ranker: Ranker, model: CachedModel
    ) -> None:
        # What a busy machine would not have finished in time is measured all the same.
        checks = settings.checks.model_copy(update={"deadline_s": _NO_DEADLINE_S})
        self._store, self._blend, self._split, self._model = store, fitted.blend, split, model
        self._ranker = Watched(ranker)
        self._recommender = Recommender(
            store=store,
            retriever=fitted.blend,
            ranker=cast(Ranker, self._ranker),
            clicks=fitted.clicks,
            fusion=fitted.fusion,
            settings=settings.model_copy(update={"checks": checks}),
            version="evaluation",
            model=model,
        )

    async def answers(self, progress: Progress | None = None) -> list[Answer]:
        """One answer for each user of the split, in its order. ModelError if the model ranked no slate at all."""
        answers = []
        for row in range(len(self._split.users)):
            answers.append(await self._answer(row))
            if progress:
                progress(f"ranking with {self._ranker.name}", row + 1, len(self._split.users))
        fallbacks = [answer.recommendation.provenance.fallback for answer in answers]
        if all(fallbacks):
            raise ModelError(
                f"the language model ranked no slate at all (first reason: {fallbacks[0]})", "look at: genrec doctor"
            )
        return answers

    async def _answer(self, row: int) -> Answer:
        history, now = self.history(row), float(self._split.now[row])
        n, ranker = self._recommender.settings.retrieval.candidates, self._ranker
        hits_before = self._model.hits
        ranker.task = ranker.ranking = None
        answer = await self._recommender.arecommend(
            RecommendationRequest(
                user_id=history.user_id, history=history, k=n, now=now, policy="fuse", log_exposure=False
            )
        )
        slate = Candidates(()) if ranker.task is None else ranker.task.candidates
        retrieved = self._blend.candidates(
            history, n, now=now, items=self._store.items, blocked=self._store.blocked(history.user_id or "")
        )
        lists = {"retriever": [candidate.item.id for candidate in retrieved.items]}
        lists |= orders(answer, slate, ranker.ranking, self._recommender)
        validity = Validity() if ranker.ranking is None else validate(ranker.ranking, slate)
        return Answer(lists, answer, validity, self._model.hits == hits_before)

    def history(self, row: int) -> History:
        """What the user had done by the training part: the first of the stored events, which stand in its order."""
        user = int(self._split.users[row])
        rows = self._split.train.rows_of(user)
        stored = self._store.history(str(self._split.train.user_ids[user]))
        return replace(stored, entries=stored.entries[: rows.stop - rows.start])


def orders(
    answer: Recommendation, slate: Candidates, ranking: Ranking | None, recommender: Recommender
) -> dict[str, list[str]]:
    """Item ids of one slate in the order of each system that orders slates, made by the code that serves them."""
    given = {line.item.id: line.p_click for line in answer.items}
    known = [given.get(candidate.item.id) for candidate in slate.items]
    p_click: FloatArray | None = None if None in known else np.array(known, dtype=np.float64)

    def by_policy(policy: Policy, read: Ranking | None) -> list[str]:
        outcome = apply_policy(
            policy, slate, read, p_click, fusion=recommender.fusion, threshold=0.0, k=len(slate.items)
        )
        return [line.item.id for line in outcome.items]

    by_click = sorted(range(len(slate.items)), key=lambda i: 0.0 if p_click is None else -p_click[i])
    return {
        "slate": [candidate.item.id for candidate in slate.items],
        "click": [slate.items[place].item.id for place in by_click],
        "llm": by_policy("annotate", ranking),
        "fused without llm": by_policy("fuse", None),
        "fused": [line.item.id for line in answer.items],
    }
