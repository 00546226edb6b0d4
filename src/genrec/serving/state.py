"""What the server's processes share: workspace and settings through the environment, one live recommender each."""

from __future__ import annotations

import asyncio
import os
from functools import cache
from pathlib import Path

from genrec.errors import NotFoundError, WorkspaceError
from genrec.llm.base import LanguageModel
from genrec.pipeline import Recommender
from genrec.prompting.library import TemplateLibrary
from genrec.ranking.loading import for_template, ranker_for
from genrec.settings import Settings
from genrec.workspace import Workspace

WORKSPACE_VARIABLE = "GENREC_SERVED_WORKSPACE"


def served_workspace() -> Workspace:
    """The workspace that `genrec serve` was started on."""
    folder = os.environ.get(WORKSPACE_VARIABLE)
    if folder is None:
        raise WorkspaceError("no workspace is served", "start the server with: genrec serve --workspace W")
    return Workspace.open(Path(folder))


@cache
def serving_settings() -> Settings:
    """Settings of the served workspace; flags arrive as environment variables (see `genrec.serving.launch`)."""
    return Settings.load(served_workspace().settings_file)


class Live:
    """The recommender in use. A new fit goes live without a restart: CURRENT is looked at before each answer."""

    def __init__(self, workspace: Workspace, settings: Settings, model: LanguageModel | None) -> None:
        self._workspace, self._settings, self._model = workspace, settings, model
        self._recommenders: dict[str, Recommender] = {}
        self._versions: dict[str, str] = {}
        self._lock = asyncio.Lock()

    async def recommender(self, template: str | None = None) -> Recommender:
        """The recommender on the live versions, with the given template in place of the settings' one."""
        versions = self._workspace.versions()
        async with self._lock:
            if versions != self._versions:
                self._recommenders, self._versions = {}, versions
            name = template or ""
            if name not in self._recommenders:
                self._recommenders[name] = await asyncio.to_thread(self._open, template)
            return self._recommenders[name]

    def template_ids(self) -> list[str]:
        """Templates that a caller may choose by the model name `genrec/<template>`."""
        library = TemplateLibrary(self._settings.prompts.folder)
        return [template.id for template in library.list() if template.task == "rank"]

    def _open(self, template: str | None) -> Recommender:
        if template is None:
            return Recommender.open(
                self._workspace.root, self._settings, model=self._model, llm=self._model is not None
            )
        base = self._recommenders.get("") or self._open(None)
        if self._model is None:
            raise NotFoundError("no language model is loaded", "ask for the model 'genrec'")
        chosen = TemplateLibrary(self._settings.prompts.folder).get(template)
        ranking = for_template(self._settings.ranking, chosen)
        settings = self._settings.model_copy(update={"ranking": ranking})
        return base.with_ranker(ranker_for(self._model, settings), settings)
