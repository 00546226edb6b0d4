"""What other policies would have shown to the users of logged lists: fitted before, asked at the time of each list."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from genrec.data.store import Exposure, Store
from genrec.domain import History
from genrec.errors import DataError, NotFoundError
from genrec.evaluation.offpolicy.exposures import LoggedLists
from genrec.evaluation.suite.external import Lists
from genrec.filtering.base import FilterContext, Filters
from genrec.fitting.kept import fitted_on
from genrec.fitting.workspace import Fitted
from genrec.pipeline.recommender import RecommendationRequest, Recommender
from genrec.retrieval.hybrid import HybridRetriever
from genrec.settings import Settings
from genrec.text.encoders import Encoder, Progress

RETRIEVER, FUSED = "retriever", "fused without llm"
SYSTEMS = {
    RETRIEVER: "the best items of the blend of all retrievers",
    FUSED: "the order that is served without the language model: retriever score and P(click), weights learned",
}
"""Policies of a workspace; beside them, each retriever of the settings by its name."""

Answer = Callable[[Exposure, History, float], list[str]]
"""Item ids, best first, for the user of a logged list with their history by then, at that time."""


def fitted_before(
    log: LoggedLists,
    store: Store,
    settings: Settings,
    split: str,
    *,
    encoder: Encoder | None = None,
    cache_folder: Path,
    progress: Progress | None = None,
) -> Fitted:
    """Everything fitted on the events before the first of the lists: no policy may know the clicks that judge it.

    `split` is the kind of split on which the retrievers choose. DataError if there are no such events.
    """
    interactions = store.interactions()
    known = interactions.timestamp < min(exposure.timestamp for exposure in log.exposures)
    if not known.any():
        raise DataError(
            "there are no events before the first list with propensities",
            "policies are fitted on what was known before them; serve after a first import",
        )
    return fitted_on(
        interactions.select(known),
        list(store.all_items()),
        settings,
        split,
        data=f"{store.fingerprint()} before the first list",
        cache_folder=cache_folder,
        encoder=encoder,
        progress=progress,
    )


def policies_of(fitted: Fitted, store: Store, settings: Settings, names: Sequence[str]) -> dict[str, Answer]:
    """The policies of these names; NotFoundError for one that is none of `SYSTEMS` and no fitted retriever."""
    blend = fitted.blend
    known: dict[str, Answer] = {RETRIEVER: _retrieved(blend, store)}
    for name, part in blend.parts.items():
        alone = HybridRetriever(
            {name: part}, {name: 1.0}, blend.item_ids, blend.popularity, blend.newest, scale=blend.scale
        )
        known[name] = _retrieved(alone, store)
    known[FUSED] = _served(fitted, store, settings)
    unknown = [name for name in names if name not in known]
    if unknown:
        raise NotFoundError(f"there is no policy {unknown[0]!r}", f"policies: {', '.join(known)}")
    return {name: known[name] for name in names}


def answers(
    log: LoggedLists, store: Store, policies: Mapping[str, Answer], progress: Progress | None = None
) -> dict[str, list[list[str]]]:
    """For each policy and each logged list, what the policy would have shown in its place.

    Words, conditions and exclusions of a request are not in the log: policies answer without them.
    """
    found: dict[str, list[list[str]]] = {name: [] for name in policies}
    for number, exposure in enumerate(log.exposures):
        history = store.history(exposure.user_id or "", before=exposure.timestamp)
        now = math.nextafter(exposure.timestamp, -math.inf)  # exposures stand just behind the time of their request
        for name, answer in policies.items():
            found[name].append(answer(exposure, history, now))
        if progress:
            progress("asking policies", number + 1, len(log.exposures))
    return found


def given(log: LoggedLists, lists: Lists) -> list[list[str]]:
    """Another tool's list for the user of each logged list; empty for users without one."""
    return [lists.of_user.get(exposure.user_id or "", []) for exposure in log.exposures]


def _retrieved(blend: HybridRetriever, store: Store) -> Answer:
    def answer(exposure: Exposure, history: History, now: float) -> list[str]:
        filters = Filters.of(FilterContext(history, now, blocked=store.blocked(exposure.user_id or "")))
        found = blend.candidates(history, len(exposure.item_ids), now=now, items=store.items, filters=filters)
        return [candidate.item.id for candidate in found.items]

    return answer


def _served(fitted: Fitted, store: Store, settings: Settings) -> Answer:
    recommender = Recommender(
        store=store,
        retriever=fitted.blend,
        ranker=None,
        scorer=fitted.scorer,
        settings=settings,
        version="evaluation",
    )

    def answer(exposure: Exposure, history: History, now: float) -> list[str]:
        request = RecommendationRequest(
            user_id=exposure.user_id,
            history=history,
            k=len(exposure.item_ids),
            now=now,
            policy="fuse",
            log_exposure=False,
        )
        return [line.item.id for line in asyncio.run(recommender.arecommend(request)).items]

    return answer
