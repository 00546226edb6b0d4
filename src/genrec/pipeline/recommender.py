"""The whole path, from a user to a checked recommendation. Serving, evaluation and the command line all walk it."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import AsyncGenerator, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from genrec.artifacts.adapters import mismatch_of, resolved
from genrec.artifacts.workspace import Workspace
from genrec.data.exposure_log import ExposureLog
from genrec.data.ratings import with_liked
from genrec.data.store import Store, open_store
from genrec.domain import Provenance, RankedItem, Ranking, Recommendation, RecommendedItem, TokenUsage
from genrec.errors import GenrecError, ModelError
from genrec.llm.base import LanguageModel
from genrec.pipeline.answer import exposure_of, lines, nothing_left
from genrec.pipeline.reading import FALLBACKS, NOT_NEEDED, read, should_call_llm
from genrec.pipeline.request import RecommendationRequest, new_request_id
from genrec.pipeline.reranking import rerank
from genrec.pipeline.slate import Slate, SlateBuilder
from genrec.pipeline.timing import StageClock
from genrec.pipeline.trace import trace_of
from genrec.ranking.base import Ranker
from genrec.ranking.loading import llm_ranker_key_of, ranker_for
from genrec.reranking.base import Ranked, RerankContext
from genrec.reranking.exploration import odds_of
from genrec.reranking.objective import check_fields
from genrec.retrieval.hybrid import HybridRetriever
from genrec.scoring.scorer import Scorer
from genrec.settings import Policy, Settings

__all__ = ["FALLBACKS", "NOT_NEEDED", "RecommendationRequest", "Recommender", "Slate", "should_call_llm"]

T = TypeVar("T")


def _check_no_loop() -> None:
    with suppress(RuntimeError):  # which the next line raises where no loop runs
        asyncio.get_running_loop()
        raise GenrecError(
            "an event loop is running here already",
            "await arecommend(...), or iterate over stream(...); open and close in another thread "
            "(await asyncio.to_thread(Recommender.open, workspace))",
        )


class Recommender:
    """Recommends from one workspace. Without a `ranker` no language model takes part."""

    def __init__(
        self,
        *,
        store: Store,
        retriever: HybridRetriever,
        ranker: Ranker | None,
        scorer: Scorer,
        settings: Settings,
        version: str,
        model: LanguageModel | None = None,
    ) -> None:
        self.store, self.retriever, self.settings, self.version = store, retriever, settings, version
        self.scorer = scorer
        self.ranker: Ranker | None = None
        self.model: LanguageModel | None = None
        self._use_llm_ranker(ranker, model)
        self._slates = SlateBuilder(store, retriever, scorer, settings)
        self._exposures = ExposureLog(store, settings.traces.keep_days)
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
        Raises WorkspaceError if there is no data or nothing fitted, SettingsError for an objective of fields that no
        item has, NotFoundError for an adapter that is not there, ModelError if the model does not load, GenrecError
        where an event loop runs and there is a model to load.
        """
        if llm and model is None:
            _check_no_loop()
        place = Workspace.open(workspace)
        chosen = resolved(place.root, settings or Settings.load(place.settings_file))
        version, parts = place.parts("retrieval", "scoring")
        store = open_store(place, chosen)
        chosen = with_liked(chosen, store)
        opened = cls(
            retriever=HybridRetriever.load(parts["retrieval"]),
            scorer=Scorer.load(parts["scoring"]),
            store=store,
            ranker=None,
            settings=chosen,
            version=version,
        )
        try:
            check_fields(chosen.objective, opened.store)
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
        opened._use_llm_ranker(ranker, used)
        for said in opened.advice() if warn else ():
            warnings.warn(said, stacklevel=2)  # the line that opens the workspace
        return opened

    def advice(self) -> list[str]:
        """What to say of a ranker that was not tuned on its template, or that `genrec fit` has not weighed."""
        if self.ranker is None:
            return []
        return [
            said
            for said in (mismatch_of(self.settings, self.ranker.template), self.missing_weights_warning)
            if said is not None
        ]

    @property
    def ranker_name(self) -> str:
        """For provenance."""
        return "none" if self.ranker is None else self.ranker.name

    @property
    def missing_weights_warning(self) -> str | None:
        """What to say where `genrec fit` learned no weights for this model and ranker; None where it did."""
        return None if self._llm_ranker_key is None else self.scorer.missing_weights_warning(self._llm_ranker_key)

    def _use_llm_ranker(self, ranker: Ranker | None, model: LanguageModel | None) -> None:
        """Takes this ranker on this model, with the weights that the scorer has for it."""
        self.ranker, self.model = ranker, model
        self._llm_ranker_key = None if ranker is None or model is None else llm_ranker_key_of(model, ranker)
        if self._llm_ranker_key is not None:
            self.scorer = self.scorer.for_llm_ranker(self._llm_ranker_key)

    def with_ranker(self, ranker: Ranker, settings: Settings, model: LanguageModel | None = None) -> Recommender:
        """The same recommender with another ranker, and on another model if one is given."""
        made = Recommender(
            store=self.store,
            retriever=self.retriever,
            ranker=ranker,
            scorer=self.scorer,
            settings=settings,
            version=self.version,
            model=model or self.model,
        )
        made._exposures = self._exposures
        return made

    def recommend(self, user_id: str | None = None, k: int = 10, **options: Any) -> Recommendation:
        """`arecommend` for callers without an event loop; `options` are fields of RecommendationRequest.

        RequestError for others.
        """
        return self.run(self.arecommend(RecommendationRequest.of(user_id=user_id, k=k, **options)))

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
        self, request: RecommendationRequest, slate: Slate | None = None, request_id: str | None = None
    ) -> AsyncGenerator[RecommendedItem | Recommendation, None]:
        """Each item as soon as its place is fixed, and the whole answer last, under `request_id` or a new id.

        Under `annotate` a generating ranker fixes one item after another; where scores are fused or vetoed the places
        are known only when the last score is. A list that is logged is explored where the settings say so.
        """
        clock, request_id = StageClock(), request_id or new_request_id()
        if slate is None:
            slate = await asyncio.to_thread(self._slates, request, clock)
        policy = request.policy or self.settings.policy.name
        fixed: asyncio.Queue[RankedItem | None] = asyncio.Queue()
        work = read(self.ranker, request, policy, slate, self.settings, self.scorer, fixed, clock)
        reading = asyncio.create_task(work)
        sent: list[RankedItem] = []
        try:
            while (item := await fixed.get()) is not None:
                sent.append(item)
                so_far = Ranking(tuple(sent), "partial")
                yield lines(self._decide(request_id, request, policy, slate, so_far, None), request.k)[len(sent) - 1]
            ranking, fallback = await reading
        finally:
            reading.cancel()  # of no effect on a finished one; frees the engine when the caller went away
        with clock("reranking"):
            ranked = await asyncio.to_thread(self._decide, request_id, request, policy, slate, ranking, fallback)
        answer = Recommendation(
            request_id,
            request.user_id,
            lines(ranked, request.k),
            slate.candidates.dropped + ranked.dropped,
            ranked.agreement,
            self._provenance(request, policy, slate, ranked, ranking, clock),
            nothing_left(slate, ranked),
        )
        if request.is_logged:
            trace = trace_of(answer, slate, ranked) if self.settings.traces.keep_days else None
            await self._exposures.write(exposure_of(answer, slate.now, odds_of(ranked, len(answer.items)), trace))
        for line in answer.items[len(sent) :]:
            yield line
        yield answer

    def slate(self, request: RecommendationRequest) -> Slate:
        """What the language model would read for this request: for previews and evaluation."""
        return self._slates(request, StageClock())

    def _decide(
        self,
        request_id: str,
        request: RecommendationRequest,
        policy: Policy,
        slate: Slate,
        ranking: Ranking | None,
        fallback: str | None,
    ) -> Ranked:
        context = RerankContext(
            request_id,
            request.k,
            policy,
            self.settings,
            slate.candidates,
            slate.scores.p_click,
            slate.best,
            slate.history,
            ranking,
            lambda llm: self.scorer.with_llm(slate.scores, llm).p_click,
            request.is_logged,
            request.query,
        )
        return rerank(context, fallback, slate.scores.p_like)

    def _provenance(
        self,
        request: RecommendationRequest,
        policy: Policy,
        slate: Slate,
        ranked: Ranked,
        ranking: Ranking | None,
        clock: StageClock,
    ) -> Provenance:
        return Provenance(
            workspace_version=self.version,
            retriever=slate.retriever,
            ranker=self.ranker_name,
            model=self.model.name if self.model else None,
            adapter=self.model.adapter if self.model else None,
            template=self.ranker.template if self.ranker else None,
            policy=policy,
            fallback=ranked.fallback,
            history_events=slate.events,
            candidates=len(slate.candidates.items),
            prompt_dropped=ranking.prompt_dropped if ranking else (),
            usage=ranking.usage if ranking else TokenUsage(),
            stage_ms=clock.stages,
            assignment=request.assignment,
        )
