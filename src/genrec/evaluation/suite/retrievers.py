"""Systems that rank the whole catalogue: a retriever, or a blend of several, tuned on validation."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from genrec.data.interactions import IntArray
from genrec.errors import SettingsError
from genrec.evaluation.retrieval import ranked_lists
from genrec.evaluation.suite.bench import EvaluationContext, Lists
from genrec.evaluation.suite.schema import System
from genrec.retrieval.base import RETRIEVERS
from genrec.retrieval.hybrid import HybridRetriever
from genrec.retrieval.tuning import fit_hybrid, refit_blend


@dataclass(eq=False)
class Retrieval:
    """Ranks with one system for each seed; what validation chose, once for all, is in `record` afterwards.

    Without chance in any part (no parameter `seed` in its `fit`) all seeds have the same lists.
    """

    name: str
    system: System
    bench: EvaluationContext
    record: dict[str, Any] = field(default_factory=dict)
    _chosen: HybridRetriever | None = None

    def lists(self, seed: int) -> IntArray:
        """Item positions [m, k] of the best of the whole catalogue, without what the user has seen."""
        bench, seeded = self.bench, self._seeded()
        include: Any = {"encoder": True, "retrieval": {"history", "popular_days"}}
        facts = bench.settings.model_dump(mode="json", include=include)
        spec = self.system.model_dump(mode="json", include={"retriever", "blend", "hyper_parameters"})
        given = None if bench.encoder is None else bench.encoder.name
        own = [RETRIEVERS.source_hash(name) for name in self.system.retrievers]
        key = bench.key("retrieval", spec, facts, given, own, seed if seeded else 0)
        ranked, record = bench.kept(key, lambda: self._rank(seed))
        self.record = self.record or record
        return ranked

    def _rank(self, seed: int) -> Lists:
        blend, bench = self._fitted(seed), self.bench
        parts = list(blend.parts.values())
        scorer = parts[0] if len(parts) == 1 else blend
        return ranked_lists(scorer, bench.split, bench.k, self.name, bench.progress), blend.record

    def _fitted(self, seed: int) -> HybridRetriever:
        bench, given = self.bench, self.system.hyper_parameters
        retrieval = bench.settings.retrieval.model_copy(update={"retrievers": self.system.retrievers})
        shared: dict[str, Any] = {
            "settings": bench.settings.model_copy(update={"retrieval": retrieval}),
            "encoder": bench.encoder,
            "cache_folder": bench.cache,
            "progress": bench.progress,
        }
        for name in self.system.retrievers:
            _check(name, given)
        if self._chosen is None:
            fit_on, validation = bench.held.fit_on, bench.held.validation
            self._chosen = fit_hybrid(fit_on, bench.items, split=validation, tune=not given, **shared)
        if not given and not (seed and self._seeded()):
            return self._chosen
        try:
            return refit_blend(self._with(given), bench.held.fit_on, bench.items, seed=seed, **shared)
        except (TypeError, ValueError) as error:
            if not given:
                raise
            values = ", ".join(f"{key}: {value!r}" for key, value in given.items())
            raise SettingsError(
                f"the retriever {self.system.retriever} cannot be fitted with {values} ({error})",
                f"mend hyper_parameters of the system {self.name}",
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
