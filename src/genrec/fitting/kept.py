"""What was fitted on a training part, kept by content, so that an evaluation that is repeated does not fit again."""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import uuid
from collections.abc import Sequence
from pathlib import Path

from genrec.artifacts.memo import code_hash
from genrec.data.interactions import Interactions
from genrec.domain import Item
from genrec.errors import WorkspaceError
from genrec.fitting.scoring import LlmRankers
from genrec.fitting.workspace import NO_LLM_RANKERS, Fitted, fit_log
from genrec.ranking.base import Ranker
from genrec.ranking.loading import template_of
from genrec.retrieval.base import RETRIEVERS
from genrec.retrieval.hybrid import HybridRetriever
from genrec.scoring.scorer import Scorer
from genrec.settings import Settings
from genrec.text.encoders import Encoder, Progress

KEEP = 24
_PARTS = ("retrieval", "scoring")


def fitted_on(
    train: Interactions,
    items: Sequence[Item],
    settings: Settings,
    split: str,
    *,
    data: str,
    cache_folder: Path,
    llm_rankers: LlmRankers = NO_LLM_RANKERS,
    llm_ranker: str = "",
    encoder: Encoder | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Fitted:
    """`fit_log` on the training part of a split of the data with fingerprint `data`, or what it made before.

    `llm_rankers` (see `fit_log`) are what `llm_ranker` names (see `llm_ranker_name`).
    The key covers data, split, settings, LLM ranker and the code that fits, so a change of any of them fits anew. The
    last few are kept in `cache_folder`.
    """
    fits = cache_folder / "fits"
    folder = fits / key(train, settings, split, f"{data} {llm_ranker}", encoder, seed)
    try:
        found = _load(folder)
        os.utime(folder)
        return found
    except (OSError, ValueError, WorkspaceError):
        shutil.rmtree(folder, ignore_errors=True)
    fitted = fit_log(
        train,
        items,
        settings,
        encoder=encoder,
        cache_folder=cache_folder,
        split=split,
        llm_rankers=llm_rankers,
        language=template_of(settings).language,
        seed=seed,
        progress=progress,
    )
    staging = fits / f".{folder.name}.{uuid.uuid4().hex[:6]}"
    try:
        parts = {name: staging / name for name in _PARTS}
        for part in parts.values():
            part.mkdir(parents=True)
        fitted.save(parts)
        staging.rename(folder)
    except OSError:
        if not folder.is_dir():  # else another evaluation was quicker, and made the same
            raise
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    for old in sorted(fits.iterdir(), key=_last_used)[:-KEEP]:
        shutil.rmtree(old, ignore_errors=True)
    return fitted


def _last_used(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except OSError:  # another evaluation has just renamed or removed it
        return math.inf


def _load(folder: Path) -> Fitted:
    record = json.loads((folder / "retrieval" / "record.json").read_text("utf-8"))
    return Fitted(HybridRetriever.load(folder / "retrieval"), Scorer.load(folder / "scoring"), record)


def key(
    train: Interactions, settings: Settings, split: str, data: str, encoder: Encoder | None = None, seed: int = 0
) -> str:
    """Names what `fit_log` would make: changes with the log, the settings, and the code that fits, yours included."""
    chosen = settings.model_dump(mode="json", include={"encoder", "retrieval", "scoring"})
    given = None if encoder is None else encoder.name
    own = [RETRIEVERS.source_hash(name) for name in settings.retrieval.retrievers]
    facts = [data, split, len(train), chosen, given, seed, code_hash(), own, template_of(settings).language]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:24]


def llm_ranker_name(fingerprint: str, ranker: Ranker, settings: Settings) -> str:
    """All on which it depends what a language model says while its weights are learned; '' where it is not asked."""
    slates = settings.llm.slates
    return f"{fingerprint} {ranker.name} {ranker.template} {settings.ranking} {slates} {code_hash()}" if slates else ""
