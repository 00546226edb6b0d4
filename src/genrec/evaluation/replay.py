"""Asking the recommender for each test user, as a server would, and noting what every part made of the slate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from genrec.data.interactions import FloatArray
from genrec.data.splits import Split
from genrec.data.store import Store
from genrec.domain import History, RankedItem, Ranking, Recommendation
from genrec.errors import ModelError
from genrec.fitting.workspace import Fitted
from genrec.llm.cached import CachedModel
from genrec.pipeline.recommender import RecommendationRequest, Recommender, Slate, is_read
from genrec.ranking.base import DelegatingRanker, Ranker, RankingTask
from genrec.reranking.policy import Validity, apply_policy, llm_scores, validate
from genrec.settings import Policy, Settings
from genrec.text.encoders import Progress

_NO_DEADLINE_S = 3600.0


@dataclass(frozen=True, eq=False)
class Answer:
    """What happened for one user. `lists` has item ids for each system, `slate` what there was to read, `llm` [n] what
    the model said of it (None if nothing); `fresh`: no read came from the cache; `asked`: the model was not spared;
    `is_read`: serving has it read the slate.
    """

    lists: dict[str, list[str]]
    slate: Slate
    llm: FloatArray | None
    recommendation: Recommendation
    validity: Validity
    fresh: bool
    asked: bool
    is_read: bool


class RecordingRanker(DelegatingRanker):
    """A ranker that keeps its last ranking, and otherwise is the one that it watches."""

    def __init__(self, ranker: Ranker) -> None:
        super().__init__(ranker)
        self.ranking: Ranking | None = None

    async def rank(
        self, task: RankingTask, k: int | None = None, on_item: Callable[[RankedItem], None] | None = None
    ) -> Ranking:
        """See Ranker."""
        self.ranking = None
        self.ranking = await self.inner.rank(task, k, on_item)
        return self.ranking


class Replay:
    """Asks the recommender for users of a split and notes what it did; without `ranker` and `model` what they add.

    `requests` [m] are what the users say in words. `decisive`: the model reads only slates that hold an item to be
    found; of the others no order counts in a metric of what was found. `useful`: only slates that it reads in serving.
    """

    def __init__(
        self,
        store: Store,
        settings: Settings,
        fitted: Fitted,
        split: Split,
        ranker: Ranker | None,
        model: CachedModel | None,
        *,
        policy: Policy = "fuse",
        requests: Sequence[str | None] | None = None,
        decisive: bool = False,
        useful: bool = False,
    ) -> None:
        # What a busy machine would not have finished in time is measured all the same.
        checks = settings.checks.model_copy(update={"deadline_s": _NO_DEADLINE_S, "read": "always"})
        self._store, self._split, self._model = store, split, model
        self._ranker = None if ranker is None else RecordingRanker(ranker)
        self._policy, self._requests = policy, requests
        self._decisive, self._useful = decisive, useful
        self._checks, self._weights = settings.checks, fitted.fusion.llm

        def recommender(ranker: Ranker | None) -> Recommender:
            return Recommender(
                store=store,
                retriever=fitted.blend,
                ranker=ranker,
                clicks=fitted.clicks,
                fusion=fitted.fusion,
                settings=settings.model_copy(update={"checks": checks}),
                version="evaluation",
                model=model,
            )

        self._recommender, self._without = recommender(self._ranker), recommender(None)

    async def answers(self, progress: Progress | None = None) -> list[Answer]:
        """One answer for each user of the split, in its order. ModelError if the model ranked no slate at all."""
        answers = []
        for row in range(len(self._split.users)):
            answers.append(await self.answer(row))
            if progress:
                progress(f"ranking with {self._recommender.ranker_name}", row + 1, len(self._split.users))
        fallbacks = [answer.recommendation.provenance.fallback for answer in answers if answer.asked]
        if fallbacks and all(fallbacks):
            raise ModelError(
                f"the language model ranked no slate at all (first reason: {fallbacks[0]})", "look at: genrec doctor"
            )
        return answers

    async def answer(self, row: int) -> Answer:
        """What the user of this row of the split is answered."""
        history, now = self.history(row), float(self._split.now[row])
        n = self._recommender.settings.retrieval.candidates
        hits_before = 0 if self._model is None else self._model.hits
        if self._ranker is not None:
            self._ranker.ranking = None
        request = RecommendationRequest(
            user_id=history.user_id,
            history=history,
            k=n,
            query=None if self._requests is None else self._requests[row],
            now=now,
            policy=self._policy,
            log_exposure=False,
        )
        slate = self._recommender.slate(request)
        served = is_read(slate, bool(request.query), self._policy, self._checks, self._weights)
        reads = (served or not self._useful) and (not self._decisive or self._holds_target(slate, row))
        answer = await (self._recommender if reads else self._without).arecommend(request, slate)
        lists = {"retriever": list(slate.pool[:n])}
        read = None if self._ranker is None else self._ranker.ranking
        lists |= orders(answer, slate, read, self._recommender)
        validity = Validity() if read is None else validate(read, slate.candidates)
        llm = None if read is None else llm_scores(read, slate.candidates)
        fresh = self._model is None or self._model.hits == hits_before
        asked = reads and bool(slate.candidates.items)
        return Answer(lists, slate, llm, answer, validity, fresh, asked, served)

    def _holds_target(self, slate: Slate, row: int) -> bool:
        ids = self._split.train.item_ids[self._split.targets[row]]
        return not {candidate.item.id for candidate in slate.candidates.items}.isdisjoint(map(str, ids))

    def history(self, row: int) -> History:
        """What the user had done by the training part: the first of the stored events, which stand in its order."""
        user = int(self._split.users[row])
        rows = self._split.train.rows_of(user)
        stored = self._store.history(str(self._split.train.user_ids[user]))
        return replace(stored, entries=stored.entries[: rows.stop - rows.start])


def orders(
    answer: Recommendation, slate: Slate, ranking: Ranking | None, recommender: Recommender
) -> dict[str, list[str]]:
    """Item ids of one slate in the order of each system that orders slates, made by the code that serves them."""
    items = slate.candidates.items

    def by_policy(policy: Policy, read: Ranking | None) -> list[str]:
        outcome = apply_policy(
            policy,
            slate.candidates,
            read,
            slate.p_click,
            slate.base,
            fusion=recommender.fusion,
            threshold=0.0,
            k=len(items),
            events=slate.events,
        )
        return [line.item.id for line in outcome.items]

    by_click = sorted(range(len(items)), key=lambda i: 0.0 if slate.p_click is None else -slate.p_click[i])
    return {
        "slate": [candidate.item.id for candidate in items],
        "click": [items[place].item.id for place in by_click],
        "llm": by_policy("annotate", ranking),
        "fused without llm": by_policy("fuse", None),
        "fused": [line.item.id for line in answer.items],
    }
