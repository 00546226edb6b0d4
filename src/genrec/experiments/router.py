"""Routing of requests while experiments run: each user is answered by the recommender of the arm they are in."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import NamedTuple

from genrec.domain import Assignment
from genrec.errors import GenrecError, NotFoundError
from genrec.experiments.assignment import LiveExperiments, serves
from genrec.pipeline.recommender import RecommendationRequest, Recommender
from genrec.prompting.library import TemplateLibrary
from genrec.ranking.loading import for_template, ranker_for

RecommenderOf = Callable[[str | None, str | None], Awaitable[Recommender]]
"""Gives the recommender with a template and an adapter in place of those of the settings (None: as they are)."""


class Route(NamedTuple):
    """Who answers a request, streams it and explains its answer; and the request, which says the arm it is in."""

    recommender: Recommender
    request: RecommendationRequest

    @property
    def assignment(self) -> Assignment | None:
        """The arm; None where the user is in no experiment."""
        return self.request.assignment


class Router:
    """Sends requests to the arms of the running experiments of a workspace; without experiments all to the default."""

    def __init__(self, experiments: LiveExperiments | None, recommender: RecommenderOf) -> None:
        self._experiments, self._recommender = experiments, recommender
        self._warned: set[str] = set()

    async def route(self, request: RecommendationRequest) -> Route:
        """The arm of the request's user.

        An arm that cannot be served gives its users the default, and the log says why, once. The report counts such an
        arm as short of users.
        """
        assigned = None if self._experiments is None else self._experiments.assign(request.user_id)
        recommender = None if assigned is None else await self._arm(assigned)
        if recommender is None:
            recommender, assigned = await self._recommender(None, None), None
        return Route(recommender, replace(request, assignment=assigned))

    async def answered_by(self, assignment: Assignment | None) -> Recommender:
        """The recommender of an answer that was given: that of the arm it was given in, whatever has changed since."""
        recommender = None if assignment is None else await self._arm(assignment)
        return recommender or await self._recommender(None, None)

    async def _arm(self, assignment: Assignment) -> Recommender | None:
        try:
            return await self._recommender(*serves(assignment.arm))
        except GenrecError as error:
            if assignment.arm not in self._warned:
                self._warned.add(assignment.arm)
                logging.getLogger("genrec").error("the arm %s cannot be served: %s", assignment.arm, error.message)
            return None


class TemplateArms:
    """Recommenders with other templates on the model of one; adapters need a server. Satisfies `RecommenderOf`."""

    def __init__(self, default: Recommender) -> None:
        self._default = default
        self._made: dict[str | None, Recommender] = {None: default}

    async def __call__(self, template: str | None, adapter: str | None) -> Recommender:
        """See `RecommenderOf`. NotFoundError for templates that there are not, and for adapters."""
        if adapter is not None:
            raise NotFoundError(f"the adapter {adapter!r} is not loaded here", "arms with an adapter need genrec serve")
        if template not in self._made:
            self._made[template] = await asyncio.to_thread(self._with, template)
        return self._made[template]

    def _with(self, template: str | None) -> Recommender:
        default = self._default
        if template is None or default.model is None:
            return default
        chosen = TemplateLibrary(default.settings.prompts.folder).get(template)
        ranking = for_template(default.settings.ranking, chosen)
        settings = default.settings.model_copy(update={"ranking": ranking})
        return default.with_ranker(ranker_for(default.model, settings), settings)
