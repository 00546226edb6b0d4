"""Fitting: hyper-parameters and blend weights chosen on validation, then everything fitted on the whole log."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from genrec.data.histories import HistoryArrays
from genrec.data.interactions import Interactions
from genrec.data.splits import Split, by_name
from genrec.domain import Item
from genrec.errors import DataError
from genrec.retrieval.base import RETRIEVERS, Retriever
from genrec.retrieval.hybrid import HybridRetriever
from genrec.retrieval.pools import TuningPools
from genrec.retrieval.scoring import ndcg_at
from genrec.retrieval.text_search import TextIndex
from genrec.settings import Settings
from genrec.text.encoders import CachedEncoder, Encoder, Progress, load_encoder

MAX_USERS = 4_000
"""Validation users, drawn by the seed."""
_WEIGHTS = (0.0, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5)
_GAIN = 1e-5
_K = 10
_NOBODY = HistoryArrays(np.zeros(0, np.int32), np.zeros(0), np.zeros(0), 0.0)


@dataclass(frozen=True)
class Choice:
    """What validation chose for one retriever: NDCG@10 of each entry of its grid, and the entry taken."""

    hyper_parameters: Mapping[str, Any]
    validation: Sequence[float]

    def record(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "hyper_parameters": dict(self.hyper_parameters),
            "ndcg@10": [round(value, 6) for value in self.validation],
        }


def fit_retriever(
    name: str,
    interactions: Interactions,
    items: Sequence[Item],
    *,
    settings: Settings,
    encoder: Encoder | None = None,
    cache_folder: Path | None = None,
    split: str = "leave-one-out",
    tune: bool = True,
    max_users: int = MAX_USERS,
    seed: int = 0,
    progress: Progress | None = None,
) -> Retriever:
    """Chooses from the retriever's grid on a validation split of the log, then fits on all of it.

    Without `tune`, or in a log too small to split, the first entry of the grid is taken. `encoder` is loaded from the
    settings if a retriever needs one and none is given; `cache_folder` keeps vectors of texts between runs.
    """
    fitter = _Fitter(items, settings, encoder, cache_folder, seed, progress)
    validation = validation_split(interactions, split, max_users, seed) if tune else None
    choice = fitter.choose(name, validation)
    return fitter.fit(name, interactions, choice.hyper_parameters)


def fit_hybrid(
    interactions: Interactions,
    items: Sequence[Item],
    *,
    settings: Settings,
    encoder: Encoder | None = None,
    cache_folder: Path | None = None,
    split: str = "leave-one-out",
    tune: bool = True,
    max_users: int = MAX_USERS,
    seed: int = 0,
    progress: Progress | None = None,
) -> HybridRetriever:
    """All retrievers of the settings, each with its own choice, and their weights, chosen on the same validation split.

    On validation the blend is never worse than its best part. Without `tune` all parts weigh the same, except that
    `popular` weighs a twentieth.
    """
    fitter = _Fitter(items, settings, encoder, cache_folder, seed, progress)
    names = settings.retrieval.retrievers
    for name in names:
        RETRIEVERS.find(name)  # a name that is wrong is told before an hour of fitting, not behind it
    validation = validation_split(interactions, split, max_users, seed) if tune else None
    choices = {name: fitter.choose(name, validation) for name in names}
    weights = {name: 0.05 if name == "popular" else 1.0 for name in names}
    record: dict[str, Any] = {"parts": {name: choice.record() for name, choice in choices.items()}}
    if validation is not None:
        fitted = {name: fitter.fit(name, validation.train, choices[name].hyper_parameters) for name in names}
        weights, reached = _choose_weights(fitted, validation, progress)
        record |= {"split": split, "users": len(validation.users), "ndcg@10": round(reached, 6)}
    parts = {name: fitter.fit(name, interactions, choices[name].hyper_parameters) for name in names}
    return _blend(fitter, parts, weights, interactions, record)


def refit_blend(
    blend: HybridRetriever,
    interactions: Interactions,
    items: Sequence[Item],
    *,
    settings: Settings,
    encoder: Encoder | None = None,
    cache_folder: Path | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> HybridRetriever:
    """The same retrievers, hyper-parameters and weights, fitted on another log: nothing is chosen anew."""
    fitter = _Fitter(items, settings, encoder, cache_folder, seed, progress)
    chosen = blend.record["parts"]
    parts = {name: fitter.fit(name, interactions, chosen[name]["hyper_parameters"]) for name in blend.parts}
    return _blend(fitter, parts, blend.weights, interactions, blend.record)


def _blend(
    fitter: _Fitter,
    parts: Mapping[str, Retriever],
    weights: Mapping[str, float],
    interactions: Interactions,
    record: Mapping[str, Any],
) -> HybridRetriever:
    popularity = fitter.fit("popular", interactions, {}).scores(_NOBODY)
    newest = float(interactions.timestamp.max(initial=0.0))
    ids = interactions.item_ids.tolist()
    return HybridRetriever(
        parts, weights, ids, popularity, newest, {**record, "weights": weights}, fitter.texts(), interactions.scale
    )


class _Fitter:
    """Fits any retriever: hands it those of the shared resources that its `fit` names as parameters."""

    def __init__(
        self,
        items: Sequence[Item],
        settings: Settings,
        encoder: Encoder | None,
        cache_folder: Path | None,
        seed: int,
        progress: Progress | None,
    ) -> None:
        self._items = items
        self._settings = settings
        self._given = encoder
        self._cache_folder = cache_folder
        self._seed = seed
        self._progress = progress
        self._encoder: CachedEncoder | None = None

    def fit(self, name: str, interactions: Interactions, hyper_parameters: Mapping[str, Any]) -> Retriever:
        """Fits one retriever with the given hyper-parameters."""
        fitted = RETRIEVERS.find(name)
        wanted = inspect.signature(fitted.fit).parameters
        shared: dict[str, Any] = {
            "history": self._settings.retrieval.history,
            "popular_days": self._settings.retrieval.popular_days,
            "seed": self._seed,
            "progress": self._progress,
        }
        if "encoder" in wanted:
            shared["encoder"] = self._cached_encoder()
        named = {key: value for key, value in shared.items() if key in wanted}
        return fitted.fit(interactions, self._items, **{**named, **hyper_parameters})

    def choose(self, name: str, validation: Split | None) -> Choice:
        """The entry of the grid with the highest NDCG@10 on validation.

        The default stays if the best is not better by a standard error of the difference between users.
        """
        grid = RETRIEVERS.find(name).grid
        if validation is None or len(grid) == 1:
            return Choice(grid[0], ())
        reached = []
        for number, retriever in enumerate(self._fits(name, grid, validation.train)):
            reached.append(ndcg_at(retriever, validation, _K))
            if self._progress:
                self._progress(f"choosing {name}", number + 1, len(grid))
        means = [float(values.mean()) for values in reached]
        best = int(np.argmax(means))
        gain = reached[best] - reached[0]
        clear = gain.mean() > gain.std() / np.sqrt(len(gain))
        return Choice(grid[best if clear else 0], means)

    def _fits(self, name: str, grid: Sequence[Mapping[str, Any]], log: Interactions) -> Iterator[Retriever]:
        """One retriever for each entry; where an entry differs from the last only in how it asks, the same fit."""
        with_query = getattr(RETRIEVERS.find(name), "with_query", None)
        late = inspect.signature(with_query).parameters.keys() if with_query else set[str]()
        fitted: Any = None
        last: Mapping[str, Any] | None = None
        for entry in grid:
            early = {key: value for key, value in entry.items() if key not in late}
            if with_query and early == last:
                fitted = with_query(fitted, **{key: entry[key] for key in late & entry.keys()})
            else:
                fitted = self.fit(name, log, entry)
            last = early
            yield fitted

    def texts(self) -> TextIndex | None:
        """For requests in words; None where no encoder was given and no retriever needed one."""
        if self._given is None and self._encoder is None:
            return None
        encoder = self._cached_encoder()
        name = self._settings.encoder.name
        # Requests are not kept: nobody asks for their words to be stored beside the catalogue.
        return TextIndex.fit(self._items, encoder, name, for_requests=encoder.encoder, progress=self._progress)

    def _cached_encoder(self) -> CachedEncoder:
        if self._encoder is None:
            encoder = self._given or load_encoder(self._settings.encoder)
            self._encoder = (
                encoder if isinstance(encoder, CachedEncoder) else CachedEncoder(encoder, self._cache_folder)
            )
        return self._encoder


def validation_split(interactions: Interactions, split: str, max_users: int, seed: int) -> Split | None:
    """Validation users, at most `max_users`; None where the log is too small to split."""
    try:
        whole = by_name(split, interactions)
    except DataError:
        if split in ("temporal", "leave-one-out"):
            return None
        raise
    if not len(whole.users):
        return None
    rows = np.arange(len(whole.users))
    if len(rows) > max_users:
        rows = np.sort(np.random.default_rng(seed).choice(rows, max_users, replace=False))
    targets = tuple(whole.targets[row] for row in rows)
    return replace(whole, users=whole.users[rows], targets=targets, now=whole.now[rows])


def _choose_weights(
    parts: Mapping[str, Retriever], validation: Split, progress: Progress | None
) -> tuple[dict[str, float], float]:
    """Coordinate search from the best part alone, or from all parts alike if that is better; a change must gain.

    Returns weights and NDCG@10 over the whole catalogue.
    """
    pools = TuningPools.collect(list(parts.values()), validation, _K, progress)
    starts = [*np.eye(len(parts)), np.ones(len(parts))]
    values = [pools.ndcg(start) for start in starts]
    first = int(np.argmax(values))
    best = int(np.argmax(values[: len(parts)]))
    weights, reached = starts[first], values[first]
    improved = True
    while improved:
        improved = False
        for part in range(len(parts)):
            for weight in _WEIGHTS:
                tried = weights.copy()
                tried[part] = weight
                if tried.any() and (value := pools.ndcg(tried)) > reached + _GAIN:
                    weights, reached, improved = tried, value, True
    named = {name: float(weight) for name, weight in zip(parts, weights, strict=True)}
    return _checked(parts, named, list(parts)[best], validation)


def _checked(
    parts: Mapping[str, Retriever], weights: dict[str, float], best: str, validation: Split
) -> tuple[dict[str, float], float]:
    """The weights if they hold over the whole catalogue, else those of the best part alone."""

    def reached(chosen: dict[str, float]) -> float:
        ids = validation.train.item_ids.tolist()
        return float(
            ndcg_at(HybridRetriever(parts, chosen, ids, np.zeros(len(ids), np.float32)), validation, _K).mean()
        )

    alone = {name: float(name == best) for name in parts}
    with_weights, without = reached(weights), reached(alone)
    return (weights, with_weights) if with_weights >= without else (alone, without)
