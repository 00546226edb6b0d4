"""`genrec.Recommender`: recommends from Python, each user by the arm of the running experiment they are in."""

from __future__ import annotations

import warnings
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import Any

from genrec.artifacts.workspace import Workspace
from genrec.data.store import Store
from genrec.domain import Recommendation, RecommendedItem
from genrec.experiments.assignment import LiveExperiments
from genrec.experiments.router import Router, TemplateArms
from genrec.explanation import explain as explanations
from genrec.explanation.explain import Explained, Explaining, How
from genrec.llm.base import LanguageModel
from genrec.pipeline.recommender import RecommendationRequest, Recommender
from genrec.settings import Settings


class RoutedRecommender:
    """The recommender of a workspace and, while experiments run, of their arms.

    Every call goes to one recommender by `router`: that of the user's arm, or `default`. All share a store and a model.
    """

    def __init__(self, default: Recommender, router: Router) -> None:
        self.default, self.router = default, router

    @classmethod
    def open(
        cls,
        workspace: Path | str,
        settings: Settings | None = None,
        *,
        model: LanguageModel | None = None,
        llm: bool = True,
        experiments: bool = True,
        warn: bool = True,
    ) -> RoutedRecommender:
        """See `genrec.pipeline.recommender.Recommender.open`, which this opens.

        With `experiments` (and a language model) users get the arms of those that run. With `warn` an adapter that was
        tuned on another template is a warning, and so is a model that the fit has not weighed.
        """
        default = Recommender.open(workspace, settings, model=model, llm=llm, warn=False)
        for said in default.advice() if warn else ():
            warnings.warn(said, stacklevel=2)  # the line that opens the workspace
        routed = experiments and default.model is not None
        running = LiveExperiments(Workspace.open(workspace).root, default.settings) if routed else None
        return cls(default, Router(running, TemplateArms(default)))

    @property
    def store(self) -> Store:
        """Items, events and exposures."""
        return self.default.store

    def recommend(self, user_id: str | None = None, k: int = 10, **options: Any) -> Recommendation:
        """`arecommend` for callers without an event loop; `options` are fields of RecommendationRequest."""
        return self.default.run(self.arecommend(RecommendationRequest.of(user_id=user_id, k=k, **options)))

    async def arecommend(self, request: RecommendationRequest) -> Recommendation:
        """The answer. NotFoundError for candidate or history ids that the catalogue does not have."""
        chosen, routed = await self.router.route(request)
        return await chosen.arecommend(routed)

    async def stream(self, request: RecommendationRequest) -> AsyncGenerator[RecommendedItem | Recommendation, None]:
        """Each item as soon as its place is fixed, and the whole answer last."""
        chosen, routed = await self.router.route(request)
        async with aclosing(chosen.stream(routed)) as parts:  # what is closed here frees the engine there
            async for part in parts:
                yield part

    async def explain(
        self,
        request: RecommendationRequest,
        answer: Recommendation,
        how: How = "words",
        explaining: Explaining = explanations.explain,
    ) -> Explained:
        """Why each item of an answer that was given stands there, told by the recommender that gave it."""
        chosen = await self.router.answered_by(answer.provenance.assignment)
        return await explaining(chosen, request, answer, how)

    async def explained(
        self, request: RecommendationRequest, how: How | None, explaining: Explaining = explanations.explain
    ) -> tuple[Recommendation, Explained | None]:
        """The answer to a request, and its explanation if one is asked for."""
        return await explanations.explained(*await self.router.route(request), how, explaining)

    def close(self) -> None:
        """Frees the engine, logs what is still to be, and closes store and event loop; GenrecError where one runs."""
        self.default.close()
