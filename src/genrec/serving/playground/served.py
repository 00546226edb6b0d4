"""The page on a running server: histories and slates as recommendations have them, and prompts that are run."""

from __future__ import annotations

import asyncio
from functools import cached_property
from typing import Any

from genrec.artifacts.models import resolve
from genrec.explanation.explain import explained
from genrec.pipeline.recommender import RecommendationRequest, Recommender
from genrec.prompting.tokenizer import ChatTokenizer, load_tokenizer
from genrec.ranking.base import Ranker, RankingTask
from genrec.ranking.loading import for_template, load_ranker
from genrec.serving.errors import BadRequestError
from genrec.serving.playground.bodies import InputsBody, RunBody, TemplateBody
from genrec.serving.playground.calls import Prompt
from genrec.serving.playground.inputs import FREE, Catalogue, history_of, plain, task_of
from genrec.serving.playground.overlay import overlaid
from genrec.serving.playground.recording import CheckedRanker, RecordingModel
from genrec.serving.playground.service import Engine, PlaygroundService
from genrec.serving.schemas import recommendation_answer
from genrec.serving.state import Live
from genrec.settings import Settings


class ServedPlaygroundService(PlaygroundService):
    """The page of a server, on the default adapter."""

    runs = True

    def __init__(self, live: Live, engine: Engine, settings: Settings) -> None:
        super().__init__(engine, edits=settings.serving.allow_template_preview, folder=settings.prompts.folder)
        self._live, self._settings = live, settings

    @classmethod
    async def open(cls, live: Live, settings: Settings) -> ServedPlaygroundService:
        """On the server's recommender."""
        model = await live.models.get()
        folder = await asyncio.to_thread(resolve, settings.model.name)
        orders = settings.ranking.orders if settings.ranking.ranker == "single_pass" else 1
        return cls(live, Engine(model.name, folder, model.block, model.context, orders), settings)

    async def catalogue(self) -> Catalogue:
        """See `PlaygroundService.catalogue`. A new fit brings a new store."""
        store = (await self._live.recommender()).store
        if store is not self._catalogue.store:
            self._catalogue = Catalogue(store, self._settings.scoring.liked)
        return self._catalogue

    async def task(self, body: InputsBody) -> RankingTask:
        """What the language model would read: the slate of retrieval, or the typed one."""
        catalogue, recommender = await self.catalogue(), await self._live.recommender()
        typed = await asyncio.to_thread(task_of, body, catalogue) if body.candidates is not None else None
        if typed is not None and any(candidate.item.id.startswith(FREE) for candidate in typed.candidates.items):
            return typed
        return await asyncio.to_thread(self._slate, recommender, self._request(body, catalogue))

    async def run(self, body: RunBody) -> dict[str, Any]:
        """A recommendation made with the template, and what the model said of each item; nothing is logged."""
        if body.inputs.case is not None:
            raise BadRequestError("a case is for previews only", "choose a user or type a history", param="inputs")
        task = await self.task(body.inputs)
        unknown = [n for n, one in enumerate(task.candidates.items, 1) if one.item.id.startswith(FREE)]
        if unknown:
            where = ", ".join(map(str, unknown[:5]))
            raise BadRequestError(
                f"only titles of the catalogue can be recommended; see line {where} of the candidates",
                "write their titles as the catalogue has them",
                param="inputs.candidates",
            )
        reply = await self.rendered(body.template, task)
        findings = [finding.model_dump() for finding in reply.findings]
        if reply.prompt is None:
            return {"findings": findings, "answer": None}

        async def check(read: RankingTask) -> Prompt | None:
            return reply.prompt if read == task else (await self.rendered(body.template, plain(read))).prompt

        recommender = await self._live.recommender()
        if recommender.model is None:
            raise BadRequestError("there is no model here to run a prompt", status=503)
        model = RecordingModel(recommender.model)
        ranker, settings = await asyncio.to_thread(self._ranker, body.template, model)
        checked = CheckedRanker(ranker, check)
        request = self._request(body, await self.catalogue())
        edited = recommender.with_ranker(checked, settings)
        shown = recommendation_answer(*await explained(edited, request, body.explain))
        read = checked.read_of(model)
        for item in shown["items"]:
            item["read"] = read.get(item["item_id"], [])
        return {"findings": findings, "answer": shown}

    def _request(self, body: InputsBody | RunBody, catalogue: Catalogue) -> RecommendationRequest:
        inputs = body.inputs if isinstance(body, RunBody) else body
        items = None if inputs.candidates is None else catalogue.items(inputs.candidates)
        return RecommendationRequest(
            user_id=inputs.user_id,
            history=None if inputs.history is None else history_of(inputs, catalogue),
            k=self._settings.retrieval.candidates if items is None else len(items),
            query=inputs.query or None,
            context=inputs.context or None,
            candidate_ids=None if items is None else tuple(item.id for item in items),
            policy=body.policy if isinstance(body, RunBody) else None,
            log_exposure=False,
        )

    def _slate(self, recommender: Recommender, request: RecommendationRequest) -> RankingTask:
        slate, seed = recommender.slate(request), self._settings.ranking.seed
        return plain(RankingTask(slate.history, slate.candidates, request.query, request.context, seed))

    def _ranker(self, template: TemplateBody, model: RecordingModel) -> tuple[Ranker, Settings]:
        with overlaid(self.folder, template.id, template.source) as library:
            ranking = for_template(self._settings.ranking, library.get(template.id))
            settings = self._settings.model_copy(update={"ranking": ranking})
            return load_ranker(ranking, model, self._tokenizer, library), settings

    @cached_property
    def _tokenizer(self) -> ChatTokenizer:
        return load_tokenizer(self.engine.tokenizer)
