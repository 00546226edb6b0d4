"""Replay of the served path: the recommender answers test users as a server would, and what each part did is kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from genrec.data.splits import Split
from genrec.data.store import Store
from genrec.domain import History, RankedItem, Ranking, Recommendation
from genrec.evaluation.validity import Wrong
from genrec.fitting.workspace import Fitted
from genrec.llm.cached import CachedModel
from genrec.pipeline.recommender import RecommendationRequest, Recommender, Slate, should_call_llm
from genrec.pipeline.reranking import rerank
from genrec.prompting.rendered import RenderedPrompt
from genrec.ranking.base import DelegatingRanker, Ranker, RankingTask
from genrec.reranking.base import RerankContext
from genrec.reranking.validity import Validity, validate
from genrec.settings import Policy, Settings

_NO_DEADLINE_S = 3600.0
Change = Callable[[RankingTask], RankingTask]
"""What is done to a task before a ranker reads it."""


@dataclass(frozen=True, slots=True)
class ReplayedRequest:
    """What one request came to; JSON-ready. `lists` has item ids for each order; `stage_ms` is empty if cached.

    `gain_p` is how probable it seemed before the slate was read that the language model would change the answer,
    `weight` what its scores weigh in it, and `calls_llm` whether serving has it read the slate.
    """

    lists: dict[str, list[str]]
    gain_p: float
    weight: float
    calls_llm: bool
    fallback: str | None
    invalid: int
    duplicate: int
    missing: int
    agreement: float | None
    asked: bool
    prompt_tokens: int
    computed_tokens: int
    stage_ms: dict[str, float]

    @property
    def wrong(self) -> Wrong:
        """What was wrong with the ids that the model named."""
        return Wrong(self.invalid, self.duplicate, self.missing)

    @property
    def was_read(self) -> bool:
        """Whether the language model ranked the slate."""
        return self.asked and self.fallback is None


class RecordingRanker(DelegatingRanker):
    """A ranker that keeps its last ranking, and may read its tasks changed; else it is the one that it wraps."""

    def __init__(self, ranker: Ranker, change: Change | None = None) -> None:
        super().__init__(ranker)
        self.ranking: Ranking | None = None
        self._change = change or (lambda task: task)

    def render(self, task: RankingTask) -> RenderedPrompt:
        """See Ranker; the prompt of the changed task."""
        return self.inner.render(self._change(task))

    async def rank(
        self, task: RankingTask, k: int | None = None, on_item: Callable[[RankedItem], None] | None = None
    ) -> Ranking:
        """See Ranker."""
        self.ranking = None
        self.ranking = await self.inner.rank(self._change(task), k, on_item)
        return self.ranking


class Replay:
    """Asks the recommender for users of a split and notes what it did; without `ranker` and `model` what they add.

    `requests` [m] are what the users say in words. `decisive`: the model reads only slates that hold an item to be
    found; of the others no order counts in a metric of what was found. `useful`: only slates that it reads in serving.
    `change` is done to what the ranker reads.
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
        change: Change | None = None,
    ) -> None:
        # What a busy machine would not have finished in time is measured all the same.
        patient = settings.llm.model_copy(update={"deadline_s": _NO_DEADLINE_S, "read": "always"})
        self._store, self._split, self._model = store, split, model
        self._ranker = None if ranker is None else RecordingRanker(ranker, change)
        self._policy, self._requests = policy, requests
        self._decisive, self._useful = decisive, useful
        self._llm, self._scorer = settings.llm, fitted.scorer

        def recommender(ranker: Ranker | None) -> Recommender:
            return Recommender(
                store=store,
                retriever=fitted.blend,
                ranker=ranker,
                scorer=fitted.scorer,
                settings=settings.model_copy(update={"llm": patient}),
                version="evaluation",
                model=model,
            )

        self._recommender, self._without = recommender(self._ranker), recommender(None)

    async def answer(self, row: int) -> ReplayedRequest:
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
        slate, words = self._recommender.slate(request), bool(request.query)
        served = should_call_llm(slate, words, self._policy, self._llm, self._scorer, request.k)
        reads = (served or not self._useful) and (not self._decisive or self._holds_target(slate, row))
        answer = await (self._recommender if reads else self._without).arecommend(request, slate)
        read = None if self._ranker is None else self._ranker.ranking
        lists = {"retriever": list(slate.pool[:n]), **orders(answer, slate, read, self._recommender)}
        lists["served"] = lists["fused" if served else "fused_without_llm"]
        asked, made = reads and bool(slate.candidates.items), answer.provenance
        return ReplayedRequest(
            lists,
            self._scorer.llm.gain(slate.scores.logits, slate.events, words),
            self._scorer.llm.weight(slate.events, words),
            served,
            made.fallback if asked else None,
            *Wrong.of(Validity() if read is None else validate(read, slate.candidates)),
            answer.agreement,
            asked,
            made.usage.prompt,
            made.usage.computed,
            dict(made.stage_ms) if self._model is None or self._model.hits == hits_before else {},
        )

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
        context = RerankContext(
            "",
            len(items),
            policy,
            recommender.settings,
            slate.candidates,
            slate.scores.p_click,
            slate.best,
            slate.history,
            read,
        )
        return [one.id for one in rerank(context, None, slate.scores.p_like).items]

    return {
        "slate": [candidate.item.id for candidate in items],
        "llm": by_policy("annotate", ranking),
        "fused_without_llm": by_policy("fuse", None),
        "fused": [line.item.id for line in answer.items],
    }
