"""The slate builder: from a request to what the language model reads, by retrieval, filters and scores."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from genrec.data.histories import HistoryArrays
from genrec.data.store import Store
from genrec.data.traces import LeftOut
from genrec.domain import Candidates, DroppedItem, History, HistoryEntry
from genrec.facts.extract import FactExtractor
from genrec.filtering.base import FilterContext, Filters
from genrec.filtering.conditions import check_fields
from genrec.pipeline.request import RecommendationRequest
from genrec.pipeline.timing import StageClock
from genrec.retrieval.hybrid import QUERY, HybridRetriever
from genrec.scoring.scorer import Scorer, Scores
from genrec.scoring.select import select_top
from genrec.settings import Settings


@dataclass(frozen=True, eq=False)
class Slate:
    """What the language model reads, the scores of it without the model, and how it came about.

    `history` is without hidden items, whose titles nobody is to read. `pool` has the ids of all that was proposed: best
    by retrieval first, behind them what only the request brought. `cut` is what scoring left out of the pool, best
    first, and `best` the highest P(click) in the pool.
    """

    history: History
    candidates: Candidates
    scores: Scores
    retriever: str
    now: float
    pool: tuple[str, ...] = ()
    cut: tuple[LeftOut, ...] = ()
    best: float = 0.0

    @property
    def events(self) -> int:
        """Length of the history."""
        return self.scores.events

    @property
    def dropped(self) -> tuple[DroppedItem, ...]:
        """What did not get from the catalogue's best into the slate: by filters, then by scoring."""
        cut = tuple(DroppedItem(one.item_id, one.reason, one.stage) for one in self.cut)
        return self.candidates.dropped + cut


@dataclass(frozen=True, eq=False)
class SlateBuilder:
    """Makes the slates of one workspace."""

    store: Store
    retriever: HybridRetriever
    scorer: Scorer
    settings: Settings

    def __call__(self, request: RecommendationRequest, clock: StageClock) -> Slate:
        """The slate; the clock gets the times of its stages.

        NotFoundError for candidates and history ids that nobody knows, RequestError for conditions on fields that there
        are not.
        """
        with clock("history"):
            history = self._history(request)
            now = request.now if request.now is not None else self._now(history)
            arrays = self.retriever.arrays(history, now)
            self._check_conditions(request)
        with clock("retrieval"):
            pool = self._pool(request, history, arrays)
            retriever = self.retriever.name if request.candidate_ids is None else "caller"
            if any(QUERY in candidate.parts for candidate in pool.items):
                retriever += f"+{QUERY}"
        proposed = tuple(candidate.item.id for candidate in pool.items)
        with clock("scoring"):
            scores = self._scores(request, pool, history, arrays)
            best = float(scores.p_click.max(initial=0.0))
        cut: tuple[LeftOut, ...] = ()
        if request.candidate_ids is None:
            size = max(self.settings.retrieval.candidates, request.k)
            whole, (pool, kept) = pool, select_top(pool, scores.p_click, size)
            cut = _cut(whole, scores, kept, size)
            scores = scores.take(kept)
        history = replace(history, entries=tuple(entry for entry in history.entries if not entry.item.hidden))
        if pool.items:
            history, pool = self.facts.attached(history, pool)
        return Slate(history, pool, scores, retriever, now, proposed, cut, best)

    @cached_property
    def facts(self) -> FactExtractor:
        """What is known of histories and candidates, for prompts and reasons."""
        scorer = self.scorer
        return FactExtractor(lambda: scorer.statistics, scorer.item_ids, self.store.all_items, self.retriever.covisit)

    def _scores(
        self, request: RecommendationRequest, pool: Candidates, history: History, arrays: HistoryArrays
    ) -> Scores:
        """Scores of the pool. A caller's own items are scored among what retrieval proposes: their probabilities are
        those of the whole pool, not of the few that the caller has chosen.
        """
        n, events = len(pool.items), len(history.entries)
        if request.candidate_ids is not None and n:
            own = {candidate.item.id for candidate in pool.items}
            beside = self.retriever.candidates(
                history,
                self.settings.retrieval.pool,
                now=arrays.now,
                items=self.store.items,
                # What stands beside them is what would be proposed without them: nothing that was seen.
                filters=Filters.of(FilterContext(history, arrays.now), self.settings.filtering.rules),
                query=request.query,
                arrays=arrays,
            )
            others = tuple(candidate for candidate in beside.items if candidate.item.id not in own)
            pool = Candidates((*pool.items, *others))
        return self.scorer.score_items(pool, arrays, events).take(slice(n))

    def _filters(self, request: RecommendationRequest, history: History) -> Filters:
        context = FilterContext(
            history,
            # Items expire by the clock of the wall; the log's may stand years behind it.
            now=time.time() if request.now is None else request.now,
            blocked=() if request.user_id is None else self.store.blocked(request.user_id),
            exclude=request.exclude,
            where=request.where,
            keep_seen=request.keep_seen,
            allow_sponsored=request.allow_sponsored,
            by_caller=request.candidate_ids is not None,
        )
        return Filters.of(context, self.settings.filtering.rules)

    def _pool(self, request: RecommendationRequest, history: History, arrays: HistoryArrays) -> Candidates:
        filters = self._filters(request, history)
        if request.candidate_ids is not None:
            return self._given(request, request.candidate_ids, history, arrays, filters)
        return self.retriever.candidates(
            history,
            max(self.settings.retrieval.pool, request.k),
            now=arrays.now,
            items=self.store.items,
            filters=filters,
            query=request.query,
            arrays=arrays,
        )

    def _given(
        self,
        request: RecommendationRequest,
        candidate_ids: tuple[str, ...],
        history: History,
        arrays: HistoryArrays,
        filters: Filters,
    ) -> Candidates:
        """The caller's own slate, as far as filters let it pass."""
        items = self.store.items(tuple(dict.fromkeys(candidate_ids)))
        dropped = tuple(DroppedItem(item.id, reason) for item in items if (reason := filters.reason(item)))
        refused = {one.item_id for one in dropped}
        kept = [item for item in items if item.id not in refused]
        found = self.retriever.score_items(history, kept, now=arrays.now, query=request.query, arrays=arrays)
        return Candidates(tuple(found), dropped)

    def _history(self, request: RecommendationRequest) -> History:
        if isinstance(request.history, History):
            return request.history
        if request.history is not None:
            items = self.store.items(tuple(request.history))
            return History(request.user_id, tuple(HistoryEntry(item, float(n)) for n, item in enumerate(items)))
        if request.user_id is None:
            return History(None)
        # All of it: what was seen long ago is not to be proposed again either.
        return self.store.history(request.user_id)

    def _check_conditions(self, request: RecommendationRequest) -> None:
        known: set[str] = self.__dict__.setdefault("_fields", set())
        if not known.issuperset(request.where):
            known |= self.store.metadata_fields()
            check_fields(request.where, known)

    def _now(self, history: History) -> float:
        # The clock of the log, not of the wall: a log of 1998 is not 28 years of silence.
        newest = history.entries[-1].timestamp if history.entries else self.retriever.newest
        return max(newest, self.retriever.newest)


def _cut(pool: Candidates, scores: Scores, kept: np.ndarray, size: int) -> tuple[LeftOut, ...]:
    """What scoring leaves out of the pool, best first."""
    why = f"not among the {size} best by P(click)"
    order = np.argsort(-scores.logits, kind="stable")
    left = order[~np.isin(order, kept)]
    return tuple(LeftOut(pool.items[n].item.id, "scoring", why, float(scores.p_click[n])) for n in left.tolist())
