"""Which recommender answers a request while experiments run: that of the arm its user is in."""

from __future__ import annotations

import asyncio
import copy
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from genrec.errors import GenrecError, NotFoundError
from genrec.experiments.assignment import LiveExperiments, serves
from genrec.prompting.library import TemplateLibrary
from genrec.ranking.loading import for_template, ranker_for

if TYPE_CHECKING:
    from genrec.pipeline.recommender import Recommender

RecommenderOf = Callable[[str | None, str | None], Awaitable["Recommender"]]
"""Gives the recommender with a template and an adapter in place of those of the settings (None: as they are)."""


class Arms:
    """Sends requests to the arms of the running experiments of a workspace."""

    def __init__(self, experiments: LiveExperiments, recommender: RecommenderOf) -> None:
        self._experiments, self._recommender = experiments, recommender
        self._warned: set[str] = set()

    async def of(self, default: Recommender, user_id: str | None) -> Recommender:
        """The recommender of the user's arm, which says so in its answers; `default` where there is none.

        Nor is there one where an arm cannot be served: its users then get the default, and the log says why, once. The
        report counts such an arm as short of users.
        """
        assigned = self._experiments.assign(user_id)
        if assigned is None:
            return default
        try:
            chosen = copy.copy(await self._recommender(*serves(assigned.arm)))
        except GenrecError as error:
            if assigned.arm not in self._warned:
                self._warned.add(assigned.arm)
                logging.getLogger("genrec").error("the arm %s cannot be served: %s", assigned.arm, error.message)
            return default
        chosen.assignment = assigned
        return chosen


class TemplateArms:
    """Recommenders with other templates on the model of one; adapters need a server."""

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
