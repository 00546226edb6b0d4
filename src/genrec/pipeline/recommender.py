"""The whole path, from a user to a checked recommendation. Serving, evaluation and the command line all walk it."""

from __future__ import annotations

import asyncio
import math
import uuid
import warnings
from collections.abc import AsyncGenerator, Coroutine, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from genrec.artifacts.adapters import mismatch_of, resolved
from genrec.artifacts.renames import current_argument
from genrec.artifacts.workspace import Workspace
from genrec.clicks.scorer import ClickScorer
from genrec.data.exposure_log import ExposureLog
from genrec.data.sqlite.store import SqliteStore
from genrec.data.store import Exposure, Store
from genrec.domain import Provenance, RankedItem, Ranking, Recommendation, RecommendedItem, TokenUsage
from genrec.errors import GenrecError, GuardError, ModelError, TemplateError
from genrec.fusion.language_model import LanguageModelWeights
from genrec.fusion.model import Fusion
from genrec.llm.base import LanguageModel
from genrec.pipeline.slate import RecommendationRequest, Slate, SlateBuilder
from genrec.pipeline.timing import StageClock
from genrec.ranking.base import Ranker, RankingTask
from genrec.ranking.loading import ranker_for, reader_of
from genrec.reranking.exploration import Drawn, explored
from genrec.reranking.policy import Outcome, apply_policy
from genrec.retrieval.hybrid import HybridRetriever
from genrec.settings import CheckSettings, Policy, Settings

__all__ = ["RecommendationRequest", "Recommender", "Slate"]

T = TypeVar("T")

FALLBACKS: Mapping[type[Exception], str] = {
    TimeoutError: "deadline",
    ModelError: "engine",
    GuardError: "guard",
    TemplateError: "prompt",
}
"""Failures after which the answer is the order without the language model, and how they are named in it."""
NOT_NEEDED = "not needed"
"""Why there is no ranking where the cost policy expects that the language model would not change the answer."""


def is_read(slate: Slate, query: bool, policy: Policy, checks: CheckSettings, weights: LanguageModelWeights) -> bool:
    """Whether serving reads a slate: under `fuse` only where that is expected to change the answer, or always."""
    if not slate.candidates.items:
        return False
    return policy != "fuse" or checks.read == "always" or weights.useful(slate.base, slate.events, query)


def _check_no_loop() -> None:
    with suppress(RuntimeError):  # which the next line raises where no loop runs
        asyncio.get_running_loop()
        raise GenrecError(
            "an event loop is running here already",
            "await arecommend(...), or iterate over stream(...); open and close in another thread "
            "(await asyncio.to_thread(Recommender.open, workspace))",
        )


class Recommender:
    """Recommends from one workspace. `ranker`, `clicks` and `fusion` may be None; what needs them is then left out."""

    def __init__(
        self,
        *,
        store: Store,
        retriever: HybridRetriever,
        ranker: Ranker | None,
        clicks: ClickScorer | None,
        fusion: Fusion | None,
        settings: Settings,
        version: str,
        model: LanguageModel | None = None,
    ) -> None:
        self.store, self.retriever, self.settings, self.version = store, retriever, settings, version
        self.clicks, self.fusion = clicks, fusion or Fusion()
        self.ranker: Ranker | None = None
        self.model: LanguageModel | None = None
        self._read_by(ranker, model)
        self._slates = SlateBuilder(store, retriever, clicks, self.fusion, settings)
        self._exposures = ExposureLog(store)
        # One loop for the life of the object: engines keep locks and clients that belong to their loop.
        self._runner = asyncio.Runner()

    @classmethod
    def open(
        cls,
        workspace: Path | str,
        settings: Settings | None = None,
        *,
        model: LanguageModel | None = None,
        llm: bool = True,
        warn: bool = True,
    ) -> Recommender:
        """Opens the live versions of a fitted workspace, and loads the language model (`llm=False`: goes without).

        With `warn` it warns of what `advice` says.
        Raises WorkspaceError if there is no data or nothing fitted, NotFoundError for an adapter that is not there,
        ModelError if the model does not load, GenrecError where an event loop runs and there is a model to load.
        """
        if llm and model is None:
            _check_no_loop()
        place = Workspace.open(workspace)
        chosen = resolved(place.root, settings or Settings.load(place.settings_file))
        version, parts = place.parts("retrieval", "clicks", "fusion")
        opened = cls(
            retriever=HybridRetriever.load(parts["retrieval"]),
            clicks=ClickScorer.load(parts["clicks"]),
            fusion=Fusion.load(parts["fusion"]),
            store=SqliteStore(place.database),
            ranker=None,
            settings=chosen,
            version=version,
        )
        try:
            if llm and model is None:
                from genrec.llm.loading import load

                opened.model = opened.run(load(chosen.model))
            used = opened.model if model is None else model
            ranker = None if used is None else ranker_for(used, chosen)
        except BaseException:
            if opened.model is None:  # one that was given is the caller's
                opened.store.close()
            else:
                opened.close()
            raise
        opened._read_by(ranker, used)
        for said in opened.advice() if warn else ():
            warnings.warn(said, stacklevel=2)  # the line that opens the workspace
        return opened

    def advice(self) -> list[str]:
        """What to say of a ranker that was not tuned on its template, or that `genrec fit` has not weighed."""
        if self.ranker is None:
            return []
        return [said for said in (mismatch_of(self.settings, self.ranker.template), self.unweighed) if said is not None]

    @property
    def ranker_name(self) -> str:
        """For provenance."""
        return "none" if self.ranker is None else self.ranker.name

    @property
    def unweighed(self) -> str | None:
        """What to say where slates are read by whom `genrec fit` did not weigh; None where all is well."""
        return None if self._reader is None else self.fusion.unweighed(self._reader)

    def _read_by(self, ranker: Ranker | None, model: LanguageModel | None) -> None:
        """Has slates read by this ranker on this model, whose word then weighs what it is worth."""
        self.ranker, self.model = ranker, model
        self._reader = None if ranker is None or model is None else reader_of(model, ranker)
        if self._reader is not None:
            self.fusion = self.fusion.read_by(self._reader)

    def with_ranker(self, ranker: Ranker, settings: Settings, model: LanguageModel | None = None) -> Recommender:
        """The same recommender with another ranker, and on another model if one is given."""
        made = Recommender(
            store=self.store,
            retriever=self.retriever,
            ranker=ranker,
            clicks=self.clicks,
            fusion=self.fusion,
            settings=settings,
            version=self.version,
            model=model or self.model,
        )
        made._exposures = self._exposures
        return made

    def recommend(self, user_id: str | None = None, k: int = 10, **options: Any) -> Recommendation:
        """`arecommend` for callers without an event loop; `options` are fields of RecommendationRequest."""
        asked = current_argument(options, "request", "query")
        return self.run(self.arecommend(RecommendationRequest(user_id=user_id, k=k, **asked)))

    def close(self) -> None:
        """Frees the engine, logs what is still to be, and closes store and event loop; GenrecError where one runs."""
        _check_no_loop()
        try:
            if self.model is not None:
                self._runner.run(self.model.close())
        finally:
            self._exposures.close()
            self.store.close()
            self._runner.close()
            self._runner = asyncio.Runner()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """What `work` gives, for callers without an event loop; GenrecError where one runs."""
        try:
            _check_no_loop()
        except GenrecError:
            work.close()
            raise
        return self._runner.run(work)

    async def arecommend(self, request: RecommendationRequest, slate: Slate | None = None) -> Recommendation:
        """The answer. `slate` is what the method of that name gave for the request, if it was asked before.

        NotFoundError for candidate or history ids that the catalogue does not have.
        """
        answer: Recommendation | None = None
        async for part in self.stream(request, slate):
            answer = part if isinstance(part, Recommendation) else answer
        if answer is None:
            raise ModelError("the pipeline ended without an answer", "report this with the settings in use")
        return answer

    async def stream(
        self, request: RecommendationRequest, slate: Slate | None = None
    ) -> AsyncGenerator[RecommendedItem | Recommendation, None]:
        """Each item as soon as its place is fixed, and the whole answer last.

        Under `annotate` a generating ranker fixes one item after another; where scores are fused or vetoed the places
        are known only when the last score is. A list that is logged is explored where the settings say so.
        """
        clock, request_id = StageClock(), f"rec-{uuid.uuid4().hex}"
        if slate is None:
            slate = await asyncio.to_thread(self._slates, request, clock)
        policy = request.policy or self.settings.checks.policy
        fixed: asyncio.Queue[RankedItem | None] = asyncio.Queue()
        reading = asyncio.create_task(self._read(request, policy, slate, fixed, clock))
        sent: list[RankedItem] = []
        try:
            while (item := await fixed.get()) is not None:
                sent.append(item)
                so_far = Ranking(tuple(sent), "partial")
                yield self._decide(request, policy, slate, so_far, None).items[len(sent) - 1]
            ranking, fallback = await reading
        finally:
            reading.cancel()  # of no effect on a finished one; frees the engine when the caller went away
        with clock("checks"):
            outcome, drawn = await asyncio.to_thread(self._shown, request_id, request, policy, slate, ranking, fallback)
        answer = self._answer(request_id, request, policy, slate, outcome, ranking, clock)
        if request.is_logged:
            await self._exposures.write(self._exposure(answer, slate.now, drawn))
        for line in answer.items[len(sent) :]:
            yield line
        yield answer

    async def _read(
        self,
        request: RecommendationRequest,
        policy: Policy,
        slate: Slate,
        fixed: asyncio.Queue[RankedItem | None],
        clock: StageClock,
    ) -> tuple[Ranking | None, str | None]:
        """The model's ranking, and why there is none (or only a part of one). Ends `fixed` with None."""
        partial: list[RankedItem] = []

        def on_item(item: RankedItem) -> None:
            partial.append(item)
            if policy == "annotate" and len(partial) <= request.k:
                fixed.put_nowait(item)

        try:
            if self.ranker is None:
                return None, "no language model"
            if not slate.candidates.items:
                return None, None
            if not is_read(slate, bool(request.query), policy, self.settings.checks, self.fusion.llm):
                return None, NOT_NEEDED
            task = RankingTask(
                slate.history,
                slate.candidates,
                request.query,
                request.context,
                self.settings.ranking.seed,
                request.cache_salt,
            )
            with clock("llm"):
                async with asyncio.timeout(self.settings.checks.deadline_s):
                    return await self.ranker.rank(task, request.k if policy == "annotate" else None, on_item), None
        except (TimeoutError, ModelError, GuardError, TemplateError) as error:
            reason = next(reason for kind, reason in FALLBACKS.items() if isinstance(error, kind))
            # A part of a list is of use only where the list itself is the answer.
            keep = partial and policy == "annotate"
            return (Ranking(tuple(partial), self.ranker_name) if keep else None), reason
        finally:
            fixed.put_nowait(None)

    def slate(self, request: RecommendationRequest) -> Slate:
        """What the language model would read for this request: for previews and evaluation."""
        return self._slates(request, StageClock())

    def _shown(
        self,
        request_id: str,
        request: RecommendationRequest,
        policy: Policy,
        slate: Slate,
        ranking: Ranking | None,
        fallback: str | None,
    ) -> tuple[Outcome, Drawn | None]:
        """What is shown, and the odds of it where it was drawn at random."""
        temperature = self.settings.checks.exploration
        if not temperature or policy != "fuse" or not request.is_logged or not slate.candidates.items:
            return self._decide(request, policy, slate, ranking, fallback), None
        whole = self._decide(replace(request, k=len(slate.candidates.items)), policy, slate, ranking, fallback)
        items, drawn = explored(whole.items, request.k, temperature, request_id)
        return replace(whole, items=items), drawn

    def _decide(
        self,
        request: RecommendationRequest,
        policy: Policy,
        slate: Slate,
        ranking: Ranking | None,
        fallback: str | None,
    ) -> Outcome:
        return apply_policy(
            policy,
            slate.candidates,
            ranking,
            slate.p_click,
            slate.base,
            fusion=self.fusion,
            threshold=self.settings.checks.threshold,
            k=request.k,
            events=slate.events,
            query=bool(request.query),
            fallback=fallback,
        )

    def _answer(
        self,
        request_id: str,
        request: RecommendationRequest,
        policy: Policy,
        slate: Slate,
        outcome: Outcome,
        ranking: Ranking | None,
        clock: StageClock,
    ) -> Recommendation:
        return Recommendation(
            request_id=request_id,
            user_id=request.user_id,
            items=outcome.items,
            dropped=slate.candidates.dropped + outcome.dropped,
            agreement=outcome.agreement,
            provenance=Provenance(
                workspace_version=self.version,
                retriever=slate.retriever,
                ranker=self.ranker_name,
                model=self.model.name if self.model else None,
                adapter=self.model.adapter if self.model else None,
                template=self.ranker.template if self.ranker else None,
                policy=policy,
                fallback=outcome.fallback,
                history_events=slate.events,
                candidates=len(slate.candidates.items),
                prompt_dropped=ranking.prompt_dropped if ranking else (),
                usage=ranking.usage if ranking else TokenUsage(),
                stage_ms=clock.stages,
                assignment=request.assignment,
            ),
        )

    def _exposure(self, answer: Recommendation, now: float, drawn: Drawn | None) -> Exposure:
        template = answer.provenance.template
        return Exposure(
            request_id=answer.request_id,
            user_id=answer.user_id,
            item_ids=tuple(line.item.id for line in answer.items),
            # In the clock of the log, and behind what the user did last: clicks on the list come after it.
            timestamp=math.nextafter(now, math.inf),
            template_id=template.id if template else None,
            template_version=template.version if template else None,
            template_hash=template.hash if template else None,
            propensities=tuple(drawn.place.tolist()) if drawn else None,
            prefix_propensities=tuple(drawn.prefix.tolist()) if drawn else None,
            assignment=answer.provenance.assignment,
        )
