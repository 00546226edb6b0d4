"""Systems on the served path: one walk for all orders of a slate, each answer kept, so that a run can go on later."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from genrec.artifacts import adapters
from genrec.artifacts.memo import Memo, code_hash
from genrec.data.interactions import IntArray
from genrec.evaluation import fits
from genrec.evaluation.identity import identity
from genrec.evaluation.metrics.validity import Wrong
from genrec.evaluation.replay import Answer, Replay
from genrec.evaluation.suite.bench import EvaluationContext
from genrec.evaluation.suite.leak import check_adapter
from genrec.evaluation.suite.schema import Served, overlaid
from genrec.fitting.llm_scores import loaded_reader
from genrec.fitting.workspace import NOBODY, Fitted
from genrec.fusion.language_model import LanguageModelWeights
from genrec.llm.base import LanguageModel
from genrec.llm.cached import CachedModel
from genrec.ranking.base import Ranker
from genrec.ranking.loading import ranker_for
from genrec.settings import ModelSettings, Settings
from genrec.text.encoders import CachedEncoder, load_encoder

Load = Callable[[ModelSettings], Awaitable[LanguageModel]]

_PASSING = ("engine", "deadline")
"""Fallbacks that another try may not have: such answers are not kept."""


@dataclass(frozen=True, slots=True)
class ReplayedRequest:
    """What one request came to; JSON-ready. `lists` has item ids for each order; `stage_ms` is empty if cached.

    `gain_p` is how probable it seemed before the slate was read that the language model would change the answer,
    `weight` what its scores weigh in it, and `is_read` whether serving has it read the slate.
    """

    lists: dict[str, list[str]]
    gain_p: float
    weight: float
    is_read: bool
    fallback: str | None
    invalid: int
    duplicate: int
    missing: int
    agreement: float | None
    asked: bool
    prompt_tokens: int
    computed_tokens: int
    stage_ms: dict[str, float]

    @property
    def wrong(self) -> Wrong:
        """What was wrong with the ids that the model named."""
        return Wrong(self.invalid, self.duplicate, self.missing)

    @property
    def was_read(self) -> bool:
        """Whether the language model ranked the slate."""
        return self.asked and self.fallback is None

    @classmethod
    def of(cls, answer: Answer, weights: LanguageModelWeights, query: bool) -> ReplayedRequest:
        """From an answer of a walk, and what says how probable it is that the model changes it."""
        made, slate = answer.recommendation.provenance, answer.slate
        lists = {name.replace(" ", "_"): ids for name, ids in answer.lists.items()}
        lists["served"] = lists["fused" if answer.is_read else "fused_without_llm"]
        return cls(
            lists,
            weights.gain(slate.base, slate.events, query) if len(slate.base) else 0.0,
            weights.weight(slate.events, query),
            answer.is_read,
            made.fallback if answer.asked else None,
            *Wrong.of(answer.validity),
            answer.recommendation.agreement,
            answer.asked,
            made.usage.prompt,
            made.usage.computed,
            dict(made.stage_ms) if answer.fresh else {},
        )


class ServedPath:
    """The served path with one language model, or without any, over the test users of a bench.

    `served` says how the model is used; its `orders` are not looked at. Use inside of `opened`.
    """

    def __init__(
        self,
        bench: EvaluationContext,
        served: Served,
        *,
        llm: bool,
        load: Load,
        requests: Sequence[str | None],
        allow_leak: bool,
        decisive: bool = False,
        useful: bool = False,
    ) -> None:
        self.bench, self.llm, self._load, self._requests = bench, llm, load, requests
        self.settings = self._chosen(served) if llm else bench.settings
        self.policy, self._decisive, self._useful = served.policy, decisive and llm, useful
        self.warnings = check_adapter(self.settings, bench.held, bench.data, allow_leak) if llm else []
        self._runner: asyncio.Runner | None = None
        self._model: CachedModel | None = None
        self._ranker: Ranker | None = None
        self._asked = self._reader = ""

    @contextmanager
    def opened(self) -> Iterator[ServedPath]:
        """Holds the language model (loaded when it is first asked) and the cache of answers."""
        self._answers = Memo(self.bench.cache / "answers.sqlite")
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

    def walk(self, seed: int, what: str = "", wrap: Callable[[Ranker], Ranker] | None = None) -> list[ReplayedRequest]:
        """One answer for each test user, in their order; from the cache where nothing that decides it has changed.

        `wrap` changes what the ranker reads, and `what` names it. Everything is fitted without it.
        """
        bench, fitted, ranker = self.bench, self._fitted(seed), self._ranker
        if wrap is not None and ranker is not None:
            ranker = wrap(ranker)
        walk = Replay(
            bench.quick_store,
            self._seeded(seed),
            fitted,
            bench.split,
            ranker,
            self._model,
            policy=self.policy,
            requests=self._requests,
            decisive=self._decisive,
            useful=self._useful,
        )
        spared = f"{'decisive' if self._decisive else 'all'}{' useful' if self._useful else ''}"
        key = f"{self._fit_key(seed)} {self._asked} {self._how(seed)} {what} {spared}"
        weights = fitted.fusion.llm
        return [self._answer(walk, weights, key, row, what) for row in range(len(bench.split.users))]

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
        return adapters.resolved(self.bench.root, overlaid(self.bench.settings, sections))

    def _open_model(self, runner: asyncio.Runner) -> None:
        settings = self.settings
        fingerprint = identity(settings.model)
        self._model = runner.run(
            CachedModel.open(lambda: self._load(settings.model), self.bench.cache / "reads.sqlite", fingerprint)
        )
        self._ranker = ranker = ranker_for(self._model, settings)
        self._asked = f"{fingerprint} {ranker.name} {ranker.template}"
        self._reader = fits.reader_name(fingerprint, ranker, settings)
        warning = adapters.mismatch_of(settings, ranker.template)
        self.warnings += [] if warning is None else [warning]

    def _seeded(self, seed: int) -> Settings:
        ranking = self.settings.ranking.model_copy(update={"seed": seed})
        return self.settings.model_copy(update={"ranking": ranking})

    def _fit_key(self, seed: int) -> str:
        held, data = self.bench.held, f"{self.bench.data} {self._reader}"
        return fits.key(held.fit_on, self.settings, held.validation, data, self.bench.encoder, seed)

    def _fitted(self, seed: int) -> Fitted:
        bench, ranker, model, runner = self.bench, self._ranker, self._model, self._runner
        if runner is None:
            raise AssertionError("the path is not open")
        readers = NOBODY
        if model is not None and ranker is not None:
            readers = loaded_reader(model, ranker, self._seeded(seed), runner.run, bench.progress)
        return fits.fitted_on(
            bench.held.fit_on,
            bench.items,
            self.settings,
            bench.held.validation,
            data=bench.data,
            cache_folder=bench.cache,
            readers=readers,
            reader=self._reader,
            encoder=bench.encoder or CachedEncoder(load_encoder(bench.settings.encoder), bench.cache),
            seed=seed,
            progress=bench.progress,
        )

    def _how(self, seed: int) -> str:
        include = {"retrieval", "ranking", "checks", "prompts"}
        settings = self._seeded(seed).model_dump(mode="json", include=include)
        return json.dumps([settings, self.policy, code_hash()])

    def _answer(self, walk: Replay, weights: LanguageModelWeights, key: str, row: int, what: str) -> ReplayedRequest:
        bench, split, runner = self.bench, self.bench.split, self._runner
        user = int(split.users[row])
        events = int(split.train.indptr[user + 1] - split.train.indptr[user])
        request = self._requests[row]
        asked: list[Any] = [key, str(split.train.user_ids[user]), events, float(split.now[row]), request]
        if blocked := bench.store.blocked(str(split.train.user_ids[user])):
            asked.append(sorted(blocked))
        if self._decisive:  # which slates are read then depends on what is to be found
            asked.append(sorted(split.targets[row].tolist()))
        name = hashlib.sha256(json.dumps(asked).encode()).digest()
        known = self._answers.get(name)
        if known is not None:
            return ReplayedRequest(**json.loads(known))
        if runner is None:
            raise AssertionError("the path is not open")
        walked = ReplayedRequest.of(runner.run(walk.answer(row)), weights, bool(request))
        if walked.fallback not in _PASSING:
            self._answers.put([(name, json.dumps(asdict(walked)).encode())])
        if bench.progress:
            model = "with the language model" if self.llm else "without a language model"
            bench.progress(f"asking {model}{f', {what}' if what else ''}", row + 1, len(split.users))
        return walked


def ranked_of(walked: Sequence[ReplayedRequest], order: str, bench: EvaluationContext) -> IntArray:
    """Item positions [m, k] of one order of the slates, padded with -1."""
    k = bench.k
    ranked = np.full((len(walked), k), -1, dtype=np.int32)
    for row, one in enumerate(walked):
        places = [bench.index[item_id] for item_id in one.lists[order][:k]]
        ranked[row, : len(places)] = places
    return ranked
