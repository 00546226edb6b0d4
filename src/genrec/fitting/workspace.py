"""Fitting of a workspace: retrievers and their hybrid, and the scorer with what the language model weighs."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from genrec import __version__
from genrec.artifacts.workspace import Workspace
from genrec.data.exposure_log import DAY_S
from genrec.data.interactions import EARLIEST_CLOCK, FloatArray, Interactions
from genrec.data.ratings import with_liked
from genrec.data.splits import temporal
from genrec.data.store import Exposure, open_store
from genrec.domain import Candidates, History, Item
from genrec.errors import DataError
from genrec.fitting.holdout import HeldOutPositions, hold_out
from genrec.fitting.scoring import LlmRankers, Shown, fit_scorer
from genrec.ranking.loading import template_of
from genrec.retrieval.hybrid import HybridRetriever
from genrec.retrieval.tuning import fit_hybrid, refit_blend
from genrec.scoring.scorer import Scorer
from genrec.settings import Settings
from genrec.text.encoders import CachedEncoder, Encoder, Progress, item_text, load_encoder

MIN_TEMPORAL_USERS = 50
"""With fewer test users a temporal split chooses by chance."""

_NONE: frozenset[str] = frozenset()
NO_LLM_RANKERS: LlmRankers = MappingProxyType({})
"""No language model is weighed."""


@dataclass(frozen=True, eq=False)
class Fitted:
    """What is fitted on one log, and the record of how."""

    blend: HybridRetriever
    scorer: Scorer
    record: dict[str, Any]

    def base_scores(self, history: History, candidates: Candidates, now: float) -> FloatArray:
        """Click logits [n] of the candidates without the language model: log P(click) but for a constant."""
        return self.scorer.score_items(candidates, self.blend.arrays(history, now)).logits

    def save(self, folders: dict[str, Path]) -> None:
        """Writes each part into its folder, with the record beside it."""
        self.blend.save(folders["retrieval"])
        self.scorer.save(folders["scoring"])
        for folder in folders.values():
            (folder / "record.json").write_text(json.dumps(self.record, indent=1, ensure_ascii=False), "utf-8")


def fit_workspace(
    workspace: Workspace,
    settings: Settings,
    *,
    llm_rankers: LlmRankers = NO_LLM_RANKERS,
    progress: Progress | None = None,
    tune: bool = True,
    encoder: Encoder | None = None,
) -> dict[str, Any]:
    """Fits everything on the workspace's log and makes it live; returns the record.

    Nothing changes before all parts are written: an interrupted or failed fit leaves the live versions as they were.
    Raises WorkspaceError without data, DataError if there is nothing to learn from, ModelError for the encoder.
    """
    start = time.monotonic()
    with open_store(Workspace.open(workspace.root), settings) as store:
        settings = with_liked(settings, store)
        interactions, items = store.interactions(), list(store.all_items())
        exposures = store.shown(settings.scoring.liked)
        fingerprint = store.fingerprint()
        store.prune_traces(time.time() - settings.traces.keep_days * DAY_S)
    fitted = fit_log(
        interactions,
        items,
        settings,
        encoder=encoder,
        cache_folder=workspace.root / "cache",
        split=validation_kind(interactions),
        exposures=exposures,
        llm_rankers=llm_rankers,
        tune=tune,
        language=template_of(settings).language,
        progress=progress,
    )
    fitted.record.update(
        genrec=__version__,
        data=fingerprint,
        settings=settings.model_dump(mode="json", exclude={"serving"}),
        seconds=round(time.monotonic() - start, 1),
    )
    with workspace.publish("retrieval", "scoring") as folders:
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
    llm_rankers: LlmRankers = NO_LLM_RANKERS,
    tune: bool = True,
    language: str = "en",
    seed: int = 0,
    progress: Progress | None = None,
) -> Fitted:
    """Fits everything on a log: what `fit_workspace` publishes, and what an evaluation fits on its training part.

    Hyper-parameters and blend weights of the retrievers are chosen on a split (of the kind `split`) of the log: a log
    as thick as the one they are for. Then what users did last is held out (see `fitting.holdout.hold_out`):
    retrievers, as chosen, and statistics of items are fitted on the rest, the scorer on the held-out events. Queries in
    words are simulated in `language`. `seed` draws who is held out, and the start of whatever is fitted by chance.
    """
    if not len(interactions):
        raise DataError("there are no events to learn from", "import a log first: genrec data import --help")
    given = encoder or load_encoder(settings.encoder)
    cached = given if isinstance(given, CachedEncoder) else CachedEncoder(given, cache_folder)
    vectors = cached.encode([item_text(item) for item in items], progress)
    shared: dict[str, Any] = {"settings": settings, "encoder": cached, "seed": seed, "progress": progress}
    blend = fit_hybrid(interactions, items, split=split, tune=tune, **shared)
    # Whatever comes next is to be foreseen, liked or not: how it is liked is for P(like) to say.
    held_out = hold_out(interactions, -np.inf, seed=seed)
    before = refit_blend(blend, held_out.rest, items, **shared)
    shown = shown_before(held_out, exposures)
    described = Scorer.of_log(held_out.rest, items, vectors, settings=settings, exposures=shown)
    scorer, measured = fit_scorer(
        held_out, items, before, described, settings, llm_rankers, progress, language, seed=seed, shown=shown
    )
    return Fitted(
        blend,
        scorer.refreshed(interactions, items, vectors, exposures=exposures),
        {
            "events": len(interactions),
            "users": interactions.n_users,
            "items": interactions.n_items,
            "encoder": cached.name,
            "retrieval": blend.record,
            "scoring": measured,
        },
    )


def shown_before(held_out: HeldOutPositions, exposures: Shown) -> list[tuple[Exposure, Collection[str]]]:
    """The lists that tell nothing of what is held out: of its users those before the newest event that is left.

    A click on a later list is the very event to be foreseen, and so is one on an earlier list that was clicked late.
    """
    whole, rest = held_out.whole, held_out.rest
    newest: dict[str | None, float] = {}
    hidden: dict[str | None, frozenset[str]] = {}
    for user in np.flatnonzero(np.diff(whole.indptr) > np.diff(rest.indptr)):
        of_user, left = whole.rows_of(int(user)), rest.rows_of(int(user))
        n = left.stop - left.start
        name = str(whole.user_ids[user])
        newest[name] = float(rest.timestamp[left.stop - 1]) if n else -np.inf
        hidden[name] = frozenset(whole.item_ids[whole.item[of_user.start + n : of_user.stop]].tolist())
    return [
        (shown, clicked)
        for shown, clicked in exposures
        if shown.timestamp < newest.get(shown.user_id, np.inf) and hidden.get(shown.user_id, _NONE).isdisjoint(clicked)
    ]


def validation_kind(interactions: Interactions) -> str:
    """The split on which the retrievers choose: temporal, as serving is, where times and users allow."""
    if float(interactions.timestamp.min(initial=np.inf)) < EARLIEST_CLOCK:
        return "leave-one-out"
    try:
        users = len(temporal(interactions).users)
    except DataError:
        users = 0
    return "temporal" if users >= MIN_TEMPORAL_USERS else "leave-one-out"
