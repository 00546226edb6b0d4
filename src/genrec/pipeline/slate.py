"""From a request to what the language model reads: the history, the pool of candidates, and the slate cut out of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from genrec.clicks.scorer import ClickScorer
from genrec.data.interactions import FloatArray
from genrec.data.store import Store
from genrec.domain import Assignment, Candidates, DroppedItem, History
from genrec.facts.extract import FactExtractor
from genrec.filtering.conditions import Condition, matches
from genrec.fusion.model import Fusion
from genrec.fusion.pools import pool_of
from genrec.pipeline.timing import StageClock
from genrec.reranking.policy import prune
from genrec.retrieval.hybrid import REQUEST, HybridRetriever
from genrec.settings import Policy, Settings


@dataclass(frozen=True, slots=True)
class RecommendationRequest:
    """What a caller asks for.

    `history` goes before the stored one of `user_id`; with neither the answer is what is popular. A `query` in words
    brings the items whose texts are nearest to it among the candidates, and is read by the language model.
    `candidate_ids` is the caller's own slate in place of retrieval. `where` are conditions on metadata (see
    `genrec.filtering.conditions`). `now` (the log's unit) defaults to the newest moment that the log knows. `policy`
    overrides the settings.
    """

    user_id: str | None = None
    history: History | None = None
    k: int = 10
    query: str | None = None
    context: Mapping[str, str] | None = None
    candidate_ids: tuple[str, ...] | None = None
    exclude: tuple[str, ...] = ()
    where: Mapping[str, Condition] = field(default_factory=dict)
    keep_seen: bool = False
    allow_sponsored: bool = False
    policy: Policy | None = None
    now: float | None = None
    cache_salt: str | None = None
    log_exposure: bool = True
    assignment: Assignment | None = None
    """The arm of an experiment that answers; set by the router above the pipeline."""

    @property
    def is_logged(self) -> bool:
        """Whether the answer is kept as an exposure: lists of callers without a name are not."""
        return self.log_exposure and self.user_id is not None


@dataclass(frozen=True, eq=False)
class Slate:
    """What the language model reads, P(click) [n] and second-stage scores [n] of it, and how it came about.

    `pool` has the ids of all that was proposed: best by retrieval first, behind them what only the request brought.
    """

    history: History
    candidates: Candidates
    p_click: FloatArray | None
    base: FloatArray
    retriever: str
    now: float
    pool: tuple[str, ...] = ()

    @property
    def events(self) -> int:
        """Length of the history."""
        return len(self.history.entries)


@dataclass(frozen=True, eq=False)
class SlateBuilder:
    """Makes the slates of one workspace; without `clicks` they have neither P(click) nor evidence."""

    store: Store
    retriever: HybridRetriever
    clicks: ClickScorer | None
    fusion: Fusion
    settings: Settings

    def __call__(self, request: RecommendationRequest, clock: StageClock) -> Slate:
        """The slate; the clock gets the times of its stages. NotFoundError for candidates that nobody knows."""
        with clock("history"):
            history = request.history or self._stored_history(request.user_id)
            now = request.now if request.now is not None else self._now(history)
        with clock("retrieval"):
            pool = self._pool(request, history, now)
            retriever = self.retriever.name if request.candidate_ids is None else "caller"
            if any(REQUEST in candidate.parts for candidate in pool.items):
                retriever += f"+{REQUEST}"
        proposed = tuple(candidate.item.id for candidate in pool.items)
        if not pool.items:
            return Slate(history, pool, None, np.zeros(0), retriever, now)
        with clock("clicks"):
            known = pool_of(pool, history, self.clicks, now)
            p_click, base = known.p_click, self.fusion.base(known)
        if request.candidate_ids is None:
            pool, kept = prune(pool, base, max(self.settings.retrieval.candidates, request.k))
            p_click, base = None if p_click is None else p_click[kept], base[kept]
        if self.evidence is not None:
            history, pool = self.evidence.attached(history, pool)
        return Slate(history, pool, p_click, base, retriever, now, proposed)

    @cached_property
    def evidence(self) -> FactExtractor | None:
        """What is known of histories and candidates, for prompts and reasons."""
        clicks = self.clicks
        return (
            None if clicks is None else FactExtractor(lambda: clicks.statistics, clicks.item_ids, self.store.all_items)
        )

    def _pool(self, request: RecommendationRequest, history: History, now: float) -> Candidates:
        if request.candidate_ids is not None:
            return self._given(request, request.candidate_ids, history, now)
        return self.retriever.candidates(
            history,
            max(self.settings.retrieval.pool, request.k),
            now=now,
            exclude=request.exclude,
            blocked=() if request.user_id is None else self.store.blocked(request.user_id),
            keep_seen=request.keep_seen,
            allow_sponsored=request.allow_sponsored,
            where=(lambda item: matches(item, request.where)) if request.where else None,
            items=self.store.items,
            query=request.query,
        )

    def _given(
        self, request: RecommendationRequest, candidate_ids: tuple[str, ...], history: History, now: float
    ) -> Candidates:
        """The caller's own slate. Seen and sponsored items are his choice; what is blocked or excluded stays out."""
        items = self.store.items(tuple(dict.fromkeys(candidate_ids)))
        blocked = frozenset() if request.user_id is None else self.store.blocked(request.user_id)
        dropped = {
            item.id: reason
            for item in items
            if (
                reason := ("blocked" if item.id in blocked else "")
                or ("excluded" if item.id in request.exclude else "")
                or ("" if matches(item, request.where) else "condition")
            )
        }
        kept = [item for item in items if item.id not in dropped]
        return Candidates(
            tuple(self.retriever.given(history, kept, now=now, query=request.query)),
            tuple(DroppedItem(item_id, reason) for item_id, reason in dropped.items()),
        )

    def _stored_history(self, user_id: str | None) -> History:
        if user_id is None:
            return History(None)
        # All of it: what was seen long ago is not to be proposed again either.
        return self.store.history(user_id)

    def _now(self, history: History) -> float:
        # The clock of the log, not of the wall: a log of 1998 is not 28 years of silence.
        newest = history.entries[-1].timestamp if history.entries else self.retriever.newest
        return max(newest, self.retriever.newest)
