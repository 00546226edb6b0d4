"""Fitting of the scorer: what retrieval would have shown where it is known what users took, and what was read of it."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from genrec.data.histories import HistoryArrays, spans
from genrec.data.interactions import FloatArray, Interactions
from genrec.data.labels import ENOUGH_CLICKS
from genrec.data.store import Exposure
from genrec.domain import Candidates, History, Item, LlmRankerKey
from genrec.facts.extract import FactExtractor
from genrec.filtering.base import FilterContext, Filters
from genrec.fitting.holdout import HeldOutPositions
from genrec.fitting.simulated_queries import QuerySimulator
from genrec.retrieval.hybrid import HybridRetriever
from genrec.scoring.llm_evidence import ScoredSlate
from genrec.scoring.pools import ShownPool, TrainingPool, TrainingPools
from genrec.scoring.scorer import Scorer
from genrec.scoring.select import select_top
from genrec.settings import Settings
from genrec.text.encoders import Progress

Asked = tuple[History, Candidates, str | None]
"""A slate, and the query in words that goes with it."""

MOST_QUERIES = 500
"""Validation positions at which a query in words is simulated."""
MOST_SHOWN = 5_000
"""The newest shown lists that are learned from."""

Read = Sequence[FloatArray | None]
ReadSlates = Callable[[list[Asked]], Read | Awaitable[Read]]
"""Gives, for each slate, what `validity.llm_scores` makes of a ranker's answer; None where there is none."""
LlmRankers = Mapping[LlmRankerKey, ReadSlates]
"""Language models to be weighed, the default one first."""
Shown = Sequence[tuple[Exposure, Collection[str]]]
"""Shown lists with the ids that were clicked in them."""


@dataclass(frozen=True, eq=False)
class _Case:
    """What retrieval proposed at a position, for a query in words if there was one, and what the user took of it."""

    history: History
    candidates: Candidates
    pool: TrainingPool
    arrays: HistoryArrays
    query: str | None


def fit_scorer(
    positions: HeldOutPositions,
    items: Sequence[Item],
    retriever: HybridRetriever,
    described: Scorer,
    settings: Settings,
    llm_rankers: LlmRankers,
    progress: Progress | None,
    language: str = "en",
    seed: int = 0,
    shown: Shown = (),
) -> tuple[Scorer, dict[str, Any]]:
    """The scorer, and an account of what it was learned on.

    `retriever` and `described` (see `Scorer.of_log`) know the log without the held-out positions. Heads learn on
    training users, on shown lists and on ratings; validation users choose the click head and calibrate it. On them
    alone are learned the weights of simulated queries in words, and those of language models, whose adapters may have
    been tuned on the others.
    """
    shared = (positions, items, retriever, described, settings, progress)
    train = [case.pool for case in _cases(positions.train, *shared)]
    validation = _cases(positions.validation, *shared)
    asked = _cases(positions.validation[:MOST_QUERIES], *shared, QuerySimulator(items, language))
    pools = TrainingPools(
        tuple(retriever.parts),
        train,
        [case.pool for case in validation],
        [case.pool for case in asked],
        _shown_pools(positions.rest, items, retriever, described, shown),
    )
    scorer = described.fit(positions.rest, pools, exposures=shown, seed=seed, progress=progress)
    facts = FactExtractor(lambda: described.statistics, described.item_ids, lambda: items, retriever.covisit)
    slates = [slate for cases in (validation, asked) for slate in _slates(scorer, cases, settings, facts)]
    accounts: list[dict[str, Any]] = []
    for key, read in llm_rankers.items() if slates else ():
        answers = read([question for question, _ in slates])
        scores = asyncio.run(_awaited(answers)) if inspect.isawaitable(answers) else answers
        known = [replace(slate, llm=llm) for (_, slate), llm in zip(slates, scores, strict=True) if llm is not None]
        scorer = scorer.with_llm_weights(key, known)
        accounts.append({**asdict(key), "weights": asdict(scorer.llm_weights[key])})
    return scorer, {**scorer.record, "readers": accounts}


def _cases(
    rows: Sequence[int] | Any,
    positions: HeldOutPositions,
    items: Sequence[Item],
    retriever: HybridRetriever,
    scorer: Scorer,
    settings: Settings,
    progress: Progress | None,
    simulator: QuerySimulator | None = None,
) -> list[_Case]:
    """What retrieval proposes at the given rows; with a simulator, at those that have words to ask for."""
    by_id, generator = {item.id: item for item in items}, np.random.default_rng(0)
    what = "pools to learn from" if simulator is None else "pools of queries in words"
    cases = []
    for number, row in enumerate(rows):
        if progress and number % 50 == 0:
            progress(what, number, len(rows))
        history, now = positions.request(int(row), items)
        taken = items[int(positions.whole.item[row])]
        query = None if simulator is None else simulator.query(taken, generator, "validation")
        if simulator is not None and query is None:
            continue
        arrays = retriever.arrays(history, now)
        found = retriever.candidates(
            history,
            settings.retrieval.pool,
            now=now,
            items=lambda ids: [by_id[item_id] for item_id in ids],
            filters=Filters.of(FilterContext(history, now), settings.filtering.rules),
            query=query,
            arrays=arrays,
        )
        pool = TrainingPool(scorer.features(found, arrays), _place(found, taken.id))
        cases.append(_Case(history, found, pool, arrays, query))
    if progress:
        progress(what, len(rows), len(rows))
    return cases


def _shown_pools(
    log: Interactions, items: Sequence[Item], retriever: HybridRetriever, scorer: Scorer, shown: Shown
) -> list[ShownPool]:
    """Shown lists in order of time, each as of its moment; none where too little was clicked (see `data.labels`)."""
    if sum(len(clicked) for _, clicked in shown) < ENOUGH_CLICKS:
        return []
    index = {item.id: item for item in items}
    user_of = {user: place for place, user in enumerate(log.user_ids)}
    pools = []
    for exposure, clicked in sorted(shown, key=lambda one: one[0].timestamp)[-MOST_SHOWN:]:
        places = [place for place, item_id in enumerate(exposure.item_ids, start=1) if item_id in index]
        known = [index[exposure.item_ids[place - 1]] for place in places]
        if not known:
            continue
        user, now = user_of.get(exposure.user_id, -1), exposure.timestamp
        start, end = spans(log, np.array([user], dtype=np.int32), np.array([now]))
        rows = slice(int(start[0]), int(end[0]))
        arrays = HistoryArrays.of_rows(log, rows, now)
        candidates = Candidates(tuple(retriever.score_items(History(exposure.user_id), known, now=now, arrays=arrays)))
        labels = np.array([float(item.id in clicked) for item in known])
        pools.append(ShownPool(scorer.features(candidates, arrays), np.array(places, dtype=np.float64), labels))
    return pools


def _slates(
    scorer: Scorer, cases: Sequence[_Case], settings: Settings, facts: FactExtractor
) -> list[tuple[Asked, ScoredSlate]]:
    """The first slates, as they are served, that hold the item that the user took; not read yet."""
    found: list[tuple[Asked, ScoredSlate]] = []
    for case in cases:
        if len(found) == settings.llm.slates:
            break
        scores = scorer.score_items(case.candidates, case.arrays)
        slate, kept = select_top(case.candidates, scores.p_click, settings.retrieval.candidates)
        place = None if case.pool.target is None else _place(slate, case.candidates.items[case.pool.target].item.id)
        if place is not None and len(slate.items) > 1:
            of_slate = scores.take(kept)
            unread = ScoredSlate(of_slate.logits, np.zeros(len(kept)), place, scores.events, scores.asked)
            found.append(((*facts.attached(case.history, slate), case.query), unread))
    return found


def _place(slate: Candidates, item_id: str) -> int | None:
    ids = [candidate.item.id for candidate in slate.items]
    return ids.index(item_id) if item_id in ids else None


async def _awaited(answers: Awaitable[Read]) -> Read:
    return await answers
