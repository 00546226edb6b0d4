"""From a workspace to a source of examples: the one function that recipes call."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from genrec.artifacts.memo import code_hash
from genrec.artifacts.workspace import Workspace
from genrec.data.interactions import Interactions
from genrec.data.ratings import with_liked
from genrec.data.splits import by_name
from genrec.data.store import open_store
from genrec.domain import Item
from genrec.errors import DataError
from genrec.fitting.holdout import HeldOutPositions, hold_out
from genrec.fitting.simulated_queries import QuerySimulator, SimulatedQueries
from genrec.fitting.workspace import Fitted, fit_log, validation_kind
from genrec.retrieval.base import RETRIEVERS
from genrec.settings import ScoringSettings, Settings
from genrec.text.encoders import Encoder, Progress
from genrec.training.base import Example
from genrec.training.config import HeldOut
from genrec.training.examples import ExampleSettings, SlateSource, validation_examples
from genrec.training.exposures import ExposureSource
from genrec.training.pools import TrainingPools

_KEEP = 8
"""So many sets of pools stay in the cache of a workspace."""
_SPARE = 8
"""So many positions for each example that is wanted, as only some of the targets are in the slate that is served."""


def prepare(
    workspace: Workspace,
    settings: Settings,
    options: ExampleSettings,
    *,
    held_out: HeldOut = "temporal",
    language: str = "en",
    validation_slates: int = 200,
    seed: int = 0,
    tune: bool = True,
    encoder: Encoder | None = None,
    progress: Progress | None = None,
) -> tuple[SlateSource, list[Example], dict[str, Any]]:
    """Examples of the training users, at most `validation_slates` of the validation users, and an account of them.

    The log is cut to the training part of the split `held_out` ('none': all of it). Retrievers and second stage are
    fitted without all positions that are to be foreseen; what they propose is kept in the workspace's cache by content,
    so a second call costs seconds. Requests in words are simulated in `language`. DataError if the log is too small.
    """
    candidates = options.candidates or settings.retrieval.candidates
    options = options.model_copy(update={"candidates": candidates})
    with open_store(Workspace.open(workspace.root), settings) as store:
        settings = with_liked(settings, store)
        log, items, fingerprint = store.interactions(), list(store.all_items()), store.fingerprint()
    part = _training_part(log, held_out)
    positions = hold_out(part, settings.scoring.liked, per_user=options.per_user, most=_SPARE * options.most, seed=seed)
    cache = workspace.root / "cache"
    requests = SimulatedQueries(QuerySimulator(items, language), options.queries, seed) if options.queries else None
    unseen = None if requests is None else replace(requests, phase="validation")
    key = _key(settings, options, fingerprint, held_out, language, validation_slates, seed, tune, encoder)

    def collect() -> tuple[TrainingPools, TrainingPools]:
        fitted = fit_log(
            positions.rest,
            items,
            settings,
            encoder=encoder,
            cache_folder=cache,
            split=validation_kind(positions.rest),
            tune=tune,
            language=language,
            progress=progress,
        )
        return _collect(positions, items, fitted, settings, options, validation_slates, (requests, unseen), progress)

    train, validation = _kept(cache / "learning" / key, collect)
    if not len(train):
        raise DataError(
            "no served slate holds the item to be foreseen", "raise candidates, set missed to add, or import more data"
        )
    source = SlateSource(positions, items, train, options, liked=settings.scoring.liked, requests=requests, seed=seed)
    held = validation_examples(
        positions,
        items,
        validation,
        candidates=candidates,
        offset=options.offset,
        requests=unseen,
        liked=settings.scoring.liked,
    )
    return source, held, _info(part, positions, train, validation, fingerprint, held_out, seed)


def shown_lists(
    workspace: Workspace,
    *,
    held_out: HeldOut = "temporal",
    candidates: int = 20,
    eta: float = 0.0,
    validation: bool = False,
    liked: float = ScoringSettings().liked,
) -> ExposureSource:
    """The shown lists with clicks of the training users (with `validation`: of the validation users) as a source.

    `eta` weighs clicks against position. Clicks outside the training part of the split `held_out` are not among them.
    DataError if there is no such list.
    """
    with open_store(Workspace.open(workspace.root)) as store:
        log, items, clicked = store.interactions(), list(store.all_items()), store.clicked(liked)
        shown = [(exposure, clicked.get(exposure.request_id, frozenset())) for exposure in store.exposures()]
    part = _training_part(log, held_out)
    source = ExposureSource(part, items, shown, candidates=candidates, eta=eta, validation=validation, liked=liked)
    if not len(source):
        raise DataError(
            "there are no shown lists with clicks to learn from",
            "serve first: exposures are logged by genrec serve, and clicks name them by request_id",
        )
    return source


def _training_part(log: Interactions, held_out: HeldOut) -> Interactions:
    return log if held_out == "none" else by_name(held_out, log).train


def _collect(
    positions: HeldOutPositions,
    items: Sequence[Item],
    fitted: Fitted,
    settings: Settings,
    options: ExampleSettings,
    validation_slates: int,
    requests: tuple[SimulatedQueries | None, SimulatedQueries | None],
    progress: Progress | None,
) -> tuple[TrainingPools, TrainingPools]:
    """TrainingPools of training and of validation, with the requests of each."""

    def ask(rows: Any, requests: SimulatedQueries | None, **how: Any) -> TrainingPools:
        size = settings.retrieval.pool
        return TrainingPools.collect(
            positions,
            rows,
            items,
            fitted.blend,
            fitted.base_scores,
            size=size,
            requests=requests,
            progress=progress,
            **how,
        )

    # A target that the second stage would have cut off, beside those it likes best, teaches that its order is wrong.
    add = options.missed == "add"
    return (
        ask(positions.train, requests[0], add_missed=add, slate=None if add else options.candidates, most=options.most),
        ask(positions.validation, requests[1], slate=options.candidates, most=validation_slates),
    )


def _kept(
    folder: Path, collect: Callable[[], tuple[TrainingPools, TrainingPools]]
) -> tuple[TrainingPools, TrainingPools]:
    """What is in the folder, else what `collect` gives; one process collects, others wait for it."""
    folder.mkdir(parents=True, exist_ok=True)
    files = folder / "train.safetensors", folder / "validation.safetensors"
    with FileLock(folder / "lock"):
        try:
            return TrainingPools.load(files[0]), TrainingPools.load(files[1])
        except (OSError, ValueError):
            pools = collect()
            for part, file in zip(pools, files, strict=True):
                part.save(file)
    for old in sorted(folder.parent.iterdir(), key=lambda path: path.stat().st_mtime)[:-_KEEP]:
        shutil.rmtree(old, ignore_errors=True)
    return pools


def _info(
    part: Interactions,
    positions: HeldOutPositions,
    train: TrainingPools,
    validation: TrainingPools,
    fingerprint: str,
    held_out: str,
    seed: int,
) -> dict[str, Any]:
    return {
        "data": fingerprint,
        "held_out": held_out,
        "seed": seed,
        "events": len(part),
        "users": part.n_users,
        "items": part.n_items,
        "training_users": len(np.unique(part.user[train.row])),
        "validation_users": len(np.unique(part.user[validation.row])),
        "positions": len(positions.train),
        "examples": len(train),
        "targets_in_pool": round(train.found / max(1, train.asked), 4),
        "targets_in_slate": round(len(train) / max(1, train.asked), 4),
        "validation_slates": len(validation),
        "validation_targets_in_slate": round(len(validation) / max(1, validation.asked), 4),
    }


def _key(settings: Settings, options: ExampleSettings, *others: Any) -> str:
    chosen = settings.model_dump(mode="json", include={"encoder", "retrieval", "scoring"})
    picked = options.model_dump(mode="json", include={"per_user", "most", "missed", "candidates", "queries"})
    names = [getattr(other, "name", other) for other in others]
    own = [RETRIEVERS.source_hash(name) for name in settings.retrieval.retrievers]
    facts = [chosen, picked, names, own, code_hash()]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:24]
