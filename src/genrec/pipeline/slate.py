"""From a request to what the language model reads: the history, the pool of candidates, and the slate cut out of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from genrec.data.histories import HistoryArrays
from genrec.data.store import Store
from genrec.domain import Candidates, DroppedItem, History
from genrec.facts.extract import FactExtractor
from genrec.filtering.conditions import Condition, matches
from genrec.pipeline.timing import StageClock
from genrec.retrieval.hybrid import REQUEST, HybridRetriever
from genrec.scoring.scorer import Scorer, Scores
from genrec.scoring.select import select_top
from genrec.settings import Policy, Settings


@dataclass(frozen=True, slots=True)
class RecommendationRequest:
    """What a caller asks for.

    `history` goes before the stored one of `user_id`; with neither the answer is what is popular. A `request` in words
    brings the items whose texts are nearest to it among the candidates, and is read by the language model.
    `candidate_ids` is the caller's own slate in place of retrieval. `where` are conditions on metadata (see
    `genrec.filtering.conditions`). `now` (the log's unit) defaults to the newest moment that the log knows. `policy`
    overrides the settings.
    """

    user_id: str | None = None
    history: History | None = None
    k: int = 10
    request: str | None = None
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

    @property
    def is_logged(self) -> bool:
        """Whether the answer is kept as an exposure: lists of callers without a name are not."""
        return self.log_exposure and self.user_id is not None


@dataclass(frozen=True, eq=False)
class Slate:
    """What the language model reads, its scores [n] without the model, and how it came about.

    `pool` has the ids of all that was proposed: best by retrieval first, behind them what only the request brought.
    `best` is the highest P(click) among all of them.
    """

    history: History
    candidates: Candidates
    scores: Scores
    retriever: str
    now: float
    pool: tuple[str, ...] = ()
    best: float = 0.0

    @property
    def events(self) -> int:
        """Length of the history."""
        return len(self.history.entries)


@dataclass(frozen=True, eq=False)
class SlateBuilder:
    """Makes the slates of one workspace."""

    store: Store
    retriever: HybridRetriever
    scorer: Scorer
    settings: Settings

    def __call__(self, request: RecommendationRequest, clock: StageClock) -> Slate:
        """The slate; the clock gets the times of its stages. NotFoundError for candidates that nobody knows."""
        with clock("history"):
            history = request.history or self._stored_history(request.user_id)
            now = request.now if request.now is not None else self._now(history)
            arrays = self.retriever.arrays(history, now)
        with clock("retrieval"):
            pool = self._pool(request, history, arrays)
            retriever = self.retriever.name if request.candidate_ids is None else "caller"
            if any(REQUEST in candidate.parts for candidate in pool.items):
                retriever += f"+{REQUEST}"
        proposed = tuple(candidate.item.id for candidate in pool.items)
        with clock("scoring"):
            scores = self._scores(request, pool, history, arrays)
            best = float(scores.p_click.max(initial=0.0))
        if request.candidate_ids is None:
            pool, kept = select_top(pool, scores.p_click, max(self.settings.retrieval.candidates, request.k))
            scores = scores.take(kept)
        history, pool = self.facts.attached(history, pool)
        return Slate(history, pool, scores, retriever, now, proposed, best)

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
                request=request.request,
                arrays=arrays,
            )
            others = tuple(candidate for candidate in beside.items if candidate.item.id not in own)
            pool = Candidates((*pool.items, *others))
        return self.scorer.score_items(pool, arrays, events).take(slice(n))

    def _pool(self, request: RecommendationRequest, history: History, arrays: HistoryArrays) -> Candidates:
        if request.candidate_ids is not None:
            return self._given(request, request.candidate_ids, history, arrays)
        return self.retriever.candidates(
            history,
            max(self.settings.retrieval.pool, request.k),
            now=arrays.now,
            exclude=request.exclude,
            blocked=() if request.user_id is None else self.store.blocked(request.user_id),
            keep_seen=request.keep_seen,
            allow_sponsored=request.allow_sponsored,
            where=(lambda item: matches(item, request.where)) if request.where else None,
            items=self.store.items,
            request=request.request,
            arrays=arrays,
        )

    def _given(
        self, request: RecommendationRequest, candidate_ids: tuple[str, ...], history: History, arrays: HistoryArrays
    ) -> Candidates:
        """The caller's own slate: seen and sponsored items too, but not what is blocked or excluded."""
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
            tuple(self.retriever.given(history, kept, now=arrays.now, request=request.request, arrays=arrays)),
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
