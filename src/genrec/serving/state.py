"""What the server's processes share: workspace and settings through the environment, one live recommender each."""

from __future__ import annotations

import asyncio
import logging
import os
from functools import cache
from pathlib import Path

from genrec.artifacts.adapters import mismatch, mismatch_of, resolved, with_adapter
from genrec.artifacts.workspace import Workspace
from genrec.errors import GenrecError, WorkspaceError
from genrec.experiments.assignment import LiveExperiments
from genrec.experiments.router import Route, Router
from genrec.llm.base import LanguageModel
from genrec.pipeline.recommender import RecommendationRequest, Recommender
from genrec.prompting.library import TemplateLibrary
from genrec.ranking.loading import for_template, ranker_for
from genrec.serving.models import ServedAdapters, ServedModels
from genrec.settings import Settings

WORKSPACE_VARIABLE = "GENREC_SERVED_WORKSPACE"
ADAPTERS_VARIABLE = "GENREC_SERVED_ADAPTERS"


def served_workspace() -> Workspace:
    """The workspace that `genrec serve` was started on."""
    folder = os.environ.get(WORKSPACE_VARIABLE)
    if folder is None:
        raise WorkspaceError("no workspace is served", "start the server with: genrec serve --workspace W")
    return Workspace.open(Path(folder))


@cache
def serving_settings() -> Settings:
    """Settings of the served workspace; flags arrive as environment variables (see `genrec.serving.launch`)."""
    workspace = served_workspace()
    return resolved(workspace.root, Settings.load(workspace.settings_file))


def served_adapters() -> ServedAdapters:
    """The adapters that `genrec serve` was started with."""
    return ServedAdapters.from_json(os.environ.get(ADAPTERS_VARIABLE) or ServedAdapters().to_json())


class Live:
    """The recommenders in use. A new fit or adapter goes live without a restart: both are looked for at each answer."""

    def __init__(self, workspace: Workspace, settings: Settings, models: ServedModels) -> None:
        self._workspace, self._settings, self.models = workspace, settings, models
        self._fitted: Recommender | None = None
        self._recommenders: dict[tuple[str | None, str | None], Recommender] = {}
        self._versions: dict[str, str] | None = None
        self._warned: set[str] = set()
        self._lock = asyncio.Lock()
        self._router = Router(LiveExperiments(workspace.root, settings), self.recommender)

    async def route(
        self, request: RecommendationRequest, template: str | None = None, adapter: str | None = None
    ) -> Route:
        """Who answers the request: the arm of its user, or the template and adapter that the caller names.

        Errors as of `recommender`.
        """
        if template is None and adapter is None:
            return await self._router.route(request)
        return Route(await self.recommender(template, adapter), request)

    async def recommender(self, template: str | None = None, adapter: str | None = None) -> Recommender:
        """The recommender on the live versions, with the given template and adapter in place of the default ones.

        NotFoundError if there is no such template or adapter. WorkspaceError if nothing fitted can be loaded; once
        something was, it stays until what came after it loads.
        """
        model = await self.models.get(adapter)
        async with self._lock:
            fitted = await self._newest(model)
            known = self._recommenders.get((template, adapter))
            if known is None or known.model is not model:
                known = await asyncio.to_thread(self._made, fitted, template, model)
                self._recommenders[template, adapter] = known
            return known

    def template_ids(self) -> list[str]:
        """Templates that a caller may choose by the model name `genrec/<template>`."""
        library = TemplateLibrary(self._settings.prompts.folder)
        return [template.id for template in library.readable() if template.task == "rank"]

    async def _newest(self, model: LanguageModel) -> Recommender:
        """On the live versions, or on those in use where the live ones do not load: these are tried once."""
        versions = self._versions
        try:
            versions = self._workspace.versions()
            if self._fitted is None or versions != self._versions:
                self._fitted = await asyncio.to_thread(
                    Recommender.open, self._workspace.root, self._settings, model=model, warn=False
                )
                self._recommenders = {}
        except Exception as error:  # whatever a damaged file makes its reader raise
            if self._fitted is None:
                raise
            reason = error.message if isinstance(error, GenrecError) else type(error).__name__
            newer = max((versions or {}).values(), default="newer one")
            self._warn(f"the fit {self._fitted.version} stays in use: the {newer} does not load ({reason})")
        self._versions = versions
        return self._fitted

    def _warn(self, said: str) -> None:
        if said not in self._warned:
            self._warned.add(said)
            logging.getLogger("genrec").warning("%s", said)

    def _made(self, fitted: Recommender, template: str | None, model: LanguageModel) -> Recommender:
        settings = self._settings
        if template is not None:
            chosen = TemplateLibrary(settings.prompts.folder).get(template)
            settings = settings.model_copy(update={"ranking": for_template(settings.ranking, chosen)})
        ranker = ranker_for(model, settings)
        made = fitted.with_ranker(ranker, settings, model)
        card = self.models.card_of(model)
        tuned = with_adapter(settings, None)  # a card of its own has a model that an adapter was merged into
        other = mismatch(card, ranker.template, settings.model.name) if card else mismatch_of(tuned, ranker.template)
        for said in (other, made.missing_weights_warning):
            if said is not None:
                self._warn(said)
        return made
