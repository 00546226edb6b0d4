"""Systems that rank the whole catalogue: a retriever, or a blend of several, tuned on validation."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from genrec.data.interactions import IntArray
from genrec.data.splits import Split
from genrec.errors import SettingsError
from genrec.evaluation.suite.context import EvaluationContext, Ranked
from genrec.evaluation.suite.schema import System
from genrec.retrieval.base import RETRIEVERS
from genrec.retrieval.hybrid import HybridRetriever
from genrec.retrieval.scoring import Scorer, batches, queries_of, score_batch, top_k
from genrec.retrieval.tuning import fit_hybrid, refit_blend
from genrec.text.encoders import Progress


@dataclass(eq=False)
class Retrieval:
    """Ranks with one system for each seed; what validation chose, once for all, is in `record` afterwards.

    Without chance in any part (no parameter `seed` in its `fit`) all seeds have the same lists.
    """

    name: str
    system: System
    context: EvaluationContext
    record: dict[str, Any] = field(default_factory=dict)
    _chosen: HybridRetriever | None = None

    def lists(self, seed: int) -> IntArray:
        """Item positions [m, k] of the best of the whole catalogue, without what the user has seen."""
        context, seeded = self.context, self._seeded()
        include: Any = {"encoder": True, "retrieval": {"history", "popular_days"}}
        facts = context.settings.model_dump(mode="json", include=include)
        spec = self.system.model_dump(mode="json", include={"retriever", "blend", "hyper_parameters"})
        given = None if context.encoder is None else context.encoder.name
        own = [RETRIEVERS.source_hash(name) for name in self.system.retrievers]
        key = context.key("retrieval", spec, facts, given, own, seed if seeded else 0)
        ranked, record = context.kept(key, lambda: self._rank(seed))
        self.record = self.record or record
        return ranked

    def _rank(self, seed: int) -> Ranked:
        blend, context = self._fitted(seed), self.context
        parts = list(blend.parts.values())
        scorer = parts[0] if len(parts) == 1 else blend
        return ranked_lists(scorer, context.split, context.k, self.name, context.progress), blend.record

    def _fitted(self, seed: int) -> HybridRetriever:
        context, given = self.context, self.system.hyper_parameters
        retrieval = context.settings.retrieval.model_copy(update={"retrievers": self.system.retrievers})
        shared: dict[str, Any] = {
            "settings": context.settings.model_copy(update={"retrieval": retrieval}),
            "encoder": context.encoder,
            "cache_folder": context.cache,
            "progress": context.progress,
        }
        for name in self.system.retrievers:
            _check(name, given)
        if self._chosen is None:
            fit_on, validation = context.held.fit_on, context.held.validation
            self._chosen = fit_hybrid(fit_on, context.items, split=validation, tune=not given, **shared)
        if not given and not (seed and self._seeded()):
            return self._chosen
        try:
            return refit_blend(self._with(given), context.held.fit_on, context.items, seed=seed, **shared)
        except (TypeError, ValueError) as error:
            if not given:
                raise
            values = ", ".join(f"{key}: {value!r}" for key, value in given.items())
            raise SettingsError(
                f"the retriever {self.system.retriever} cannot be fitted with {values} ({error})",
                f"correct hyper_parameters of the system {self.name}",
            ) from error

    def _with(self, given: dict[str, Any]) -> HybridRetriever:
        """What was chosen, with the given hyper-parameters in place of its own."""
        blend = self._chosen
        if blend is None:
            raise AssertionError("nothing was chosen yet")
        parts = {
            name: {**part, "hyper_parameters": {**part["hyper_parameters"], **given}}
            for name, part in blend.record["parts"].items()
        }
        return HybridRetriever(
            blend.parts,
            blend.weights,
            blend.item_ids,
            blend.popularity,
            blend.newest,
            {**blend.record, "parts": parts},
            scale=blend.scale,
        )

    def _seeded(self) -> bool:
        return any(_takes_seed(name) for name in self.system.retrievers)


def _takes_seed(name: str) -> bool:
    fit: Callable[..., Any] = RETRIEVERS.find(name).fit
    return "seed" in inspect.signature(fit).parameters


def _check(name: str, given: dict[str, Any]) -> None:
    """SettingsError for a hyper-parameter that the retriever does not have."""
    parameters = inspect.signature(RETRIEVERS.find(name).fit).parameters.values()
    known = [one.name for one in parameters if one.kind is one.KEYWORD_ONLY]
    takes_any = any(one.kind is one.VAR_KEYWORD for one in parameters)
    if not takes_any and (unknown := [key for key in given if key not in known]):
        raise SettingsError(
            f"the retriever {name} has no hyper-parameter {', '.join(map(repr, unknown))}",
            f"it has: {', '.join(known)}" if known else "it has none",
        )


def ranked_lists(scorer: Scorer, split: Split, k: int, name: str = "", progress: Progress | None = None) -> IntArray:
    """Item positions of the k best of the whole catalogue for each test user [m, k], without what the user has seen.

    Best first, of equal scores the smaller position first; padded with -1 where the catalogue has no more.
    """
    ranked = np.full((len(split.users), k), -1, dtype=np.int32)
    for rows in batches(split, range(len(split.users))):
        queries = queries_of(split, rows)
        for row, query, scores in zip(rows, queries, score_batch(scorer, queries), strict=True):
            best = top_k(scores, k, query.item)
            ranked[row, : len(best)] = best
        if progress:
            progress(f"ranking with {name}", rows[-1] + 1, len(ranked))
    return ranked
