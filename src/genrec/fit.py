"""Fitting a catalogue: retrievers and their blend, the click scorer, and the fusion of both with the language model."""

from __future__ import annotations

import asyncio
import inspect
import json
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from genrec import __version__
from genrec.checks import prune
from genrec.clicks.labels import event_labels
from genrec.clicks.scorer import ClickScorer
from genrec.data.interactions import EARLIEST_CLOCK, FloatArray, Interactions
from genrec.data.splits import temporal
from genrec.data.sqlite import SqliteStore
from genrec.data.store import Exposure
from genrec.domain import Candidates, History, Item
from genrec.encoder import CachedEncoder, Encoder, Progress, item_text, load_encoder
from genrec.errors import DataError
from genrec.fusion import Fusion, Slate
from genrec.retrieval.blend import Blend
from genrec.retrieval.fitting import fit_blend, refit_blend
from genrec.settings import Settings
from genrec.workspace import Workspace

MAX_USERS = 1000
"""Users whose next liked item teaches the fusion, drawn with a fixed seed."""

MIN_TEMPORAL_USERS = 50
"""With fewer test users a temporal split chooses by chance."""

Shown = Sequence[tuple[Exposure, Collection[str]]]
"""Shown lists with the ids that were clicked in them."""
Read = Sequence[FloatArray | None]
ReadSlates = Callable[[list[tuple[History, Candidates]]], Read | Awaitable[Read]]
"""Gives, for each slate, what `checks.llm_scores` makes of a ranker's answer; None for those it does not read."""


@dataclass(frozen=True, eq=False)
class Fitted:
    """What is fitted on one log, and the record of how."""

    blend: Blend
    clicks: ClickScorer
    fusion: Fusion
    record: dict[str, Any]

    def save(self, folders: dict[str, Path]) -> None:
        """Writes each part into its folder, with the record beside it."""
        self.blend.save(folders["retrieval"])
        self.clicks.save(folders["clicks"])
        self.fusion.save(folders["fusion"])
        for folder in folders.values():
            (folder / "record.json").write_text(json.dumps(self.record, indent=1, ensure_ascii=False), "utf-8")


def fit_workspace(
    workspace: Workspace,
    settings: Settings,
    *,
    llm_scores: ReadSlates | None = None,
    progress: Progress | None = None,
    tune: bool = True,
    encoder: Encoder | None = None,
) -> dict[str, Any]:
    """Fits everything on the workspace's log and makes it live; returns the record.

    Nothing changes before all parts are written: an interrupted or failed fit leaves the live versions as they were.
    Raises WorkspaceError without data, DataError if there is nothing to learn from, ModelError for the encoder.
    """
    start = time.monotonic()
    with SqliteStore(Workspace.open(workspace.root).database) as store:
        interactions, items = store.interactions(), list(store.all_items())
        clicked = store.clicked()
        exposures = [(shown, clicked.get(shown.request_id, frozenset())) for shown in store.exposures()]
        fingerprint = store.fingerprint()
    fitted = fit_log(
        interactions,
        items,
        settings,
        encoder=encoder,
        cache_folder=workspace.root / "cache",
        split=_validation_kind(interactions),
        exposures=exposures,
        llm_scores=llm_scores,
        tune=tune,
        progress=progress,
    )
    fitted.record.update(
        genrec=__version__,
        data=fingerprint,
        settings=settings.model_dump(mode="json", exclude={"serving"}),
        seconds=round(time.monotonic() - start, 1),
    )
    with workspace.publish("retrieval", "clicks", "fusion") as folders:
        fitted.save(folders)
    return fitted.record


def fit_log(
    interactions: Interactions,
    items: Sequence[Item],
    settings: Settings,
    *,
    encoder: Encoder | None = None,
    cache_folder: Path | None = None,
    split: str = "leave-one-out",
    exposures: Shown = (),
    llm_scores: ReadSlates | None = None,
    tune: bool = True,
    seed: int = 0,
    progress: Progress | None = None,
) -> Fitted:
    """Fits everything on a log: what `fit_workspace` publishes, and what an evaluation fits on its training part.

    The next liked item of each user, with all that he did after it, is held out first: hyper-parameters, blend weights
    and click network are learned on the rest, the fusion on the held-out items, and then the statistics of all parts
    are fitted again on the whole log. `split` is the kind of the split on which the retrievers choose within the rest.
    """
    if not len(interactions):
        raise DataError("there are no events to learn from", "import a log first: genrec data import --help")
    given = encoder or load_encoder(settings.encoder)
    cached = given if isinstance(given, CachedEncoder) else CachedEncoder(given, cache_folder)
    vectors = cached.encode([item_text(item) for item in items], progress)
    held_out = _next_liked(interactions, settings.clicks.liked, seed)
    blend = fit_blend(
        held_out.rest, items, settings=settings, encoder=cached, split=split, tune=tune, progress=progress
    )
    clicks = ClickScorer.fit(
        held_out.rest, items, vectors, settings=settings, exposures=exposures, progress=progress, seed=seed
    )
    fusion, measured = _fit_fusion(held_out, items, blend, clicks, settings, llm_scores, progress)
    return Fitted(
        refit_blend(blend, interactions, items, settings=settings, encoder=cached, progress=progress),
        clicks.refreshed(interactions, items, vectors, exposures=exposures),
        fusion,
        {
            "events": len(interactions),
            "users": interactions.n_users,
            "items": interactions.n_items,
            "encoder": cached.name,
            "retrieval": blend.record,
            "clicks": clicks.record,
            "fusion": {**asdict(fusion), **measured},
        },
    )


def _validation_kind(interactions: Interactions) -> str:
    """The split on which the retrievers choose: temporal, as serving is, where times and users allow."""
    if float(interactions.timestamp.min(initial=np.inf)) < EARLIEST_CLOCK:
        return "leave-one-out"
    try:
        users = len(temporal(interactions).users)
    except DataError:
        users = 0
    return "temporal" if users >= MIN_TEMPORAL_USERS else "leave-one-out"


@dataclass(frozen=True, eq=False)
class _HeldOut:
    """The log without what is held out, and the rows of the targets in the whole log."""

    whole: Interactions
    rest: Interactions
    targets: tuple[int, ...]


def _next_liked(interactions: Interactions, liked: float, seed: int) -> _HeldOut:
    """Holds out, for at most MAX_USERS users, the last liked event that is not their first, and all after it."""
    keep = np.ones(len(interactions), dtype=np.bool_)
    good = event_labels(interactions.value, liked) > 0
    targets: list[int] = []
    for user in np.random.default_rng(seed).permutation(interactions.n_users):
        rows = interactions.rows_of(int(user))
        later = np.flatnonzero(good[rows.start + 1 : rows.stop])
        if len(later):
            target = rows.start + 1 + int(later[-1])
            keep[target : rows.stop] = False
            targets.append(target)
        if len(targets) == MAX_USERS:
            break
    return _HeldOut(interactions, interactions.select(keep), tuple(targets))


def _fit_fusion(
    held_out: _HeldOut,
    items: Sequence[Item],
    blend: Blend,
    clicks: ClickScorer,
    settings: Settings,
    llm_scores: ReadSlates | None,
    progress: Progress | None,
) -> tuple[Fusion, dict[str, Any]]:
    """Fusion weights, and how often the held-out item was in the pool and in the pruned slate."""
    retrieval = settings.retrieval
    by_id = {item.id: item for item in items}
    pools: list[tuple[History, Candidates, FloatArray, int]] = []
    for number, target in enumerate(held_out.targets):
        if progress:
            progress("fusion", number, len(held_out.targets))
        history, now = _history(held_out, target, items)
        pool = blend.candidates(history, retrieval.pool, now=now, items=lambda ids: [by_id[item_id] for item_id in ids])
        place = _place(pool, items[int(held_out.whole.item[target])].id)
        if place is not None:
            p_click = clicks.score(history, [candidate.item for candidate in pool.items], now=now)
            pools.append((history, pool, p_click, place))
    slates = [Slate(_scores(pool), place, p_click) for _, pool, p_click, place in pools]
    fusion = Fusion.fit(slates)
    pruned: list[tuple[History, Candidates, FloatArray | None, int]] = []
    for history, pool, p_click, target_place in pools:
        slate, p_kept = prune(pool, p_click, fusion, retrieval.candidates)
        kept_place = _place(slate, pool.items[target_place].item.id)
        if kept_place is not None:
            pruned.append((history, slate, p_kept, kept_place))
    measured = {"validation_users": len(held_out.targets), "in_pool": len(pools), "in_slate": len(pruned)}
    if llm_scores is None or not pruned:
        return fusion, measured
    answers = llm_scores([(history, slate) for history, slate, _, _ in pruned])
    scores = asyncio.run(_awaited(answers)) if inspect.isawaitable(answers) else answers
    read = [
        Slate(_scores(slate), place, p_click, llm)
        for (_, slate, p_click, place), llm in zip(pruned, scores, strict=True)
        if llm is not None
    ]
    return Fusion.fit(slates, read), measured


def _history(held_out: _HeldOut, target: int, items: Sequence[Item]) -> tuple[History, float]:
    """What the user of the target had done before it, and the time of the request."""
    whole = held_out.whole
    return held_out.rest.history(int(whole.user[target]), items), float(whole.timestamp[target])


def _place(slate: Candidates, item_id: str) -> int | None:
    ids = [candidate.item.id for candidate in slate.items]
    return ids.index(item_id) if item_id in ids else None


def _scores(slate: Candidates) -> FloatArray:
    return np.array([candidate.score for candidate in slate.items], dtype=np.float64)


async def _awaited(answers: Awaitable[Read]) -> Read:
    return await answers
