"""Systems on the served path: one replay gives all orders of a slate; each answer is kept, so a run can go on."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import numpy as np

from genrec.artifacts import adapters
from genrec.artifacts.memo import Memo, code_hash
from genrec.data.interactions import IntArray
from genrec.evaluation.replay import Change, Replay, ReplayedRequest
from genrec.evaluation.suite.base import overlaid
from genrec.evaluation.suite.context import EvaluationContext
from genrec.evaluation.suite.leak import check_adapter
from genrec.evaluation.suite.schema import Served
from genrec.fitting import kept
from genrec.fitting.llm_scores import loaded_llm_ranker
from genrec.fitting.workspace import NO_LLM_RANKERS, Fitted
from genrec.llm.base import LanguageModel
from genrec.llm.cached import CachedModel
from genrec.llm.identity import identity
from genrec.ranking.base import Ranker
from genrec.ranking.loading import ranker_for
from genrec.settings import ModelSettings, Settings
from genrec.text.encoders import CachedEncoder, load_encoder

Load = Callable[[ModelSettings], Awaitable[LanguageModel]]

_PASSING = ("engine", "deadline")
"""Fallbacks that another try may not have: such answers are not kept."""


class ServedPath:
    """The served path with one language model, or without any, over the test users of a context.

    `served` says how the model is used; its `orders` are not looked at. Use inside of `opened`.
    """

    def __init__(
        self,
        context: EvaluationContext,
        served: Served,
        *,
        llm: bool,
        load: Load,
        requests: Sequence[str | None],
        allow_leak: bool,
        decisive: bool = False,
        useful: bool = False,
    ) -> None:
        self.context, self.llm, self._load, self._requests = context, llm, load, requests
        self.settings = self._chosen(served) if llm else context.settings
        self.policy, self._decisive, self._useful = served.policy, decisive and llm, useful
        self.warnings = check_adapter(self.settings, context.held, context.data, allow_leak) if llm else []
        self._runner: asyncio.Runner | None = None
        self._model: CachedModel | None = None
        self._ranker: Ranker | None = None
        self._asked = self._llm_ranker = ""

    @contextmanager
    def opened(self) -> Iterator[ServedPath]:
        """Holds the language model (loaded when it is first asked) and the cache of answers."""
        self._answers = Memo(self.context.cache / "answers.sqlite")
        try:
            with asyncio.Runner() as runner:
                self._runner = runner
                try:
                    if self.llm:
                        self._open_model(runner)
                    yield self
                finally:
                    if self._model is not None:
                        runner.run(self._model.close())
        finally:
            self._answers.close()

    def replay(self, seed: int, what: str = "", change: Change | None = None) -> list[ReplayedRequest]:
        """One answer for each test user, in their order; from the cache where nothing that decides it has changed.

        `change` is done to what the ranker reads, and `what` names it. Everything is fitted without it.
        """
        context = self.context
        replay = Replay(
            context.quick_store,
            self._seeded(seed),
            self._fitted(seed),
            context.split,
            self._ranker,
            self._model,
            policy=self.policy,
            requests=self._requests,
            decisive=self._decisive,
            useful=self._useful,
            change=change,
        )
        spared = f"{'decisive' if self._decisive else 'all'}{' useful' if self._useful else ''}"
        key = f"{self._fit_key(seed)} {self._asked} {self._how(seed)} {what} {spared}"
        return [self._answer(replay, key, row, what) for row in range(len(context.split.users))]

    @property
    def ranker_name(self) -> str:
        """Of the open path; '' without a language model."""
        return "" if self._ranker is None else self._ranker.name

    def describe(self) -> dict[str, Any]:
        """Model, ranker and template, for the record."""
        if self._model is None or self._ranker is None:
            return {"model": None}
        template = self._ranker.template
        return {
            "model": self._model.name,
            "adapter": self._model.adapter,
            "ranker": self._ranker.name,
            "template": {"id": template.id, "version": template.version, "hash": template.hash},
            "reads": {"cached": self._model.hits, "fresh": self._model.misses},
        }

    def _chosen(self, served: Served) -> Settings:
        given = {
            "model": {"name": served.model, "engine": served.engine, "adapter": served.adapter},
            "ranking": {"ranker": served.ranker, "template": served.template},
        }
        sections = {
            section: {key: value for key, value in values.items() if value is not None}
            for section, values in given.items()
        }
        return adapters.resolved(self.context.root, overlaid(self.context.settings, sections))

    def _open_model(self, runner: asyncio.Runner) -> None:
        settings = self.settings
        fingerprint = identity(settings.model)
        self._model = runner.run(
            CachedModel.open(lambda: self._load(settings.model), self.context.cache / "reads.sqlite", fingerprint)
        )
        self._ranker = ranker = ranker_for(self._model, settings)
        self._asked = f"{fingerprint} {ranker.name} {ranker.template}"
        self._llm_ranker = kept.llm_ranker_name(fingerprint, ranker, settings)
        warning = adapters.mismatch_of(settings, ranker.template)
        self.warnings += [] if warning is None else [warning]

    def _seeded(self, seed: int) -> Settings:
        ranking = self.settings.ranking.model_copy(update={"seed": seed})
        return self.settings.model_copy(update={"ranking": ranking})

    def _fit_key(self, seed: int) -> str:
        held, data = self.context.held, f"{self.context.data} {self._llm_ranker}"
        return kept.key(held.fit_on, self.settings, held.validation, data, self.context.encoder, seed)

    def _fitted(self, seed: int) -> Fitted:
        context, ranker, model, runner = self.context, self._ranker, self._model, self._runner
        if runner is None:
            raise AssertionError("the path is not open")
        llm_rankers = NO_LLM_RANKERS
        if model is not None and ranker is not None:
            llm_rankers = loaded_llm_ranker(model, ranker, self._seeded(seed), runner.run, context.progress)
        return kept.fitted_on(
            context.held.fit_on,
            context.items,
            self.settings,
            context.held.validation,
            data=context.data,
            cache_folder=context.cache,
            llm_rankers=llm_rankers,
            llm_ranker=self._llm_ranker,
            encoder=context.encoder or CachedEncoder(load_encoder(context.settings.encoder), context.cache),
            seed=seed,
            progress=context.progress,
        )

    def _how(self, seed: int) -> str:
        include = {"retrieval", "filtering", "ranking", "policy", "llm", "reranking", "objective", "prompts"}
        settings = self._seeded(seed).model_dump(mode="json", include=include)
        return json.dumps([settings, self.policy, code_hash()])

    def _answer(self, replay: Replay, key: str, row: int, what: str) -> ReplayedRequest:
        context, split, runner = self.context, self.context.split, self._runner
        user = int(split.users[row])
        events = int(split.train.indptr[user + 1] - split.train.indptr[user])
        request = self._requests[row]
        asked: list[Any] = [key, str(split.train.user_ids[user]), events, float(split.now[row]), request]
        if blocked := context.store.blocked(str(split.train.user_ids[user])):
            asked.append(sorted(blocked))
        if self._decisive:  # which slates are read then depends on what is to be found
            asked.append(sorted(split.targets[row].tolist()))
        name = hashlib.sha256(json.dumps(asked).encode()).digest()
        known = self._answers.get(name)
        if known is not None:
            return ReplayedRequest(**json.loads(known))
        if runner is None:
            raise AssertionError("the path is not open")
        replayed = runner.run(replay.answer(row))
        if replayed.fallback not in _PASSING:
            self._answers.put([(name, json.dumps(asdict(replayed)).encode())])
        if context.progress:
            model = "with the language model" if self.llm else "without a language model"
            context.progress(f"asking {model}{f', {what}' if what else ''}", row + 1, len(split.users))
        return replayed


def ranked_of(replayed: Sequence[ReplayedRequest], order: str, context: EvaluationContext) -> IntArray:
    """Item positions [m, k] of one order of the slates, padded with -1."""
    k = context.k
    ranked = np.full((len(replayed), k), -1, dtype=np.int32)
    for row, one in enumerate(replayed):
        places = [context.index[item_id] for item_id in one.lists[order][:k]]
        ranked[row, : len(places)] = places
    return ranked
