"""What stands behind the page: templates, a catalogue if there is one, and the process that renders."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from genrec.errors import GenrecError
from genrec.prompting.cases import load_cases
from genrec.prompting.library import TemplateLibrary, read_text
from genrec.ranking.base import RankingTask
from genrec.serving.errors import BadRequestError
from genrec.serving.playground.bodies import InputsBody, RunBody, TemplateBody
from genrec.serving.playground.calls import Call, Reply
from genrec.serving.playground.inputs import Catalogue, lines, task_of
from genrec.serving.playground.overlay import relative
from genrec.serving.playground.sandbox import Sandbox


@dataclass(frozen=True, slots=True)
class Engine:
    """What rendering must know of the model. `tokenizer` is its folder."""

    name: str
    tokenizer: Path
    block: int = 16
    context: int | None = None
    orders: int = 1


class PlaygroundService:
    """The page without an engine: it shows prompts, and runs none.

    `edits`: whether templates may come from the page; otherwise they are shown as they are stored. `folder` has local
    templates.
    """

    runs = False
    render_seconds, lint_seconds = 3.0, 15.0
    """What a template may take; lint renders every case."""

    def __init__(
        self, engine: Engine, *, edits: bool, folder: Path | None = None, catalogue: Catalogue | None = None
    ) -> None:
        self.engine, self.edits, self.folder = engine, edits, folder
        self._catalogue = catalogue or Catalogue(None)
        self._sandbox = Sandbox()

    async def catalogue(self) -> Catalogue:
        """The catalogue, which may be empty."""
        return self._catalogue

    async def state(self) -> dict[str, Any]:
        """What the page can do here, and all templates."""
        catalogue = await self.catalogue()
        return {
            "edits": self.edits,
            "runs": self.runs,
            "users": catalogue.store is not None,
            "model": self.engine.name,
            "templates": await asyncio.to_thread(self._templates),
        }

    async def template(self, template_id: str) -> dict[str, Any]:
        """The stored text and the names of the cases."""
        return await asyncio.to_thread(self._template, template_id)

    async def users(self, prefix: str, limit: int) -> list[str]:
        """Ids that start with `prefix`."""
        store = (await self.catalogue()).store
        return [] if store is None else await asyncio.to_thread(store.user_ids, prefix, limit)

    async def task(self, body: InputsBody) -> RankingTask:
        """What a ranker would get."""
        return await asyncio.to_thread(task_of, body, await self.catalogue())

    async def preview(self, template: TemplateBody, inputs: InputsBody) -> dict[str, Any]:
        """The rendered prompt or what is wrong, and how the inputs were understood."""
        task = None if inputs.case else await self.task(inputs)
        call = self._call("render", template).model_copy(update={"task": task, "case": inputs.case_inputs()})
        reply = await self._sandbox(call)
        return {**reply.model_dump(mode="json"), "inputs": None if task is None else _understood(task)}

    async def rendered(self, template: TemplateBody, task: RankingTask) -> Reply:
        """The prompts of a task as the sandbox renders them."""
        return await self._sandbox(self._call("render", template).model_copy(update={"task": task}))

    async def lint(self, template: TemplateBody) -> dict[str, Any]:
        """Findings of the lint, those about cases included."""
        call = self._call("lint", template).model_copy(update={"seconds": self.lint_seconds})
        return (await self._sandbox(call)).model_dump(mode="json", include={"findings"})

    async def diff(self, template: TemplateBody) -> dict[str, Any]:
        """The unified diff from the stored text to the page's."""
        reply = await self._sandbox(self._call("diff", template))
        return reply.model_dump(mode="json", include={"findings", "diff"})

    async def run(self, body: RunBody) -> dict[str, Any]:
        """Recommendations made with the template."""
        raise BadRequestError("there is no model here to run a prompt", "start genrec serve --allow-template-preview")

    async def close(self) -> None:
        """Ends what was started."""
        await self._sandbox.close()

    def _call(self, kind: Literal["render", "lint", "diff"], template: TemplateBody) -> Call:
        if template.source is not None and not self.edits:
            raise BadRequestError(
                "this server takes no templates", "start it with --allow-template-preview", param="source", status=403
            )
        TemplateLibrary(self.folder).path(template.id)  # an unknown id is an error of the request
        return Call(
            kind=kind,
            template=template.id,
            source=template.source,
            folder=self.folder,
            tokenizer=self.engine.tokenizer,
            block=self.engine.block,
            context=self.engine.context,
            orders=self.engine.orders,
            seconds=self.render_seconds,
        )

    def _templates(self) -> list[dict[str, Any]]:
        library = TemplateLibrary(self.folder)
        found = []
        for template_id in library.ids():
            entry: dict[str, Any] = {"id": template_id, "task": None, "output": None, "summary": ""}
            try:
                template = library.get(template_id)
                entry |= {"task": template.task, "output": template.output.kind, "summary": template.summary}
            except GenrecError:
                entry["summary"] = "does not load"  # it can be opened all the same, to see why
            found.append(entry)
        return found

    def _template(self, template_id: str) -> dict[str, Any]:
        library = TemplateLibrary(self.folder)
        path = library.path(template_id)
        try:
            cases = [case.name for case in load_cases(library.get(template_id), library)]
        except GenrecError:
            cases = []
        return {"id": template_id, "path": relative(str(path), library), "source": read_text(path), "cases": cases}


def _understood(task: RankingTask) -> dict[str, Any]:
    history = lines([entry.item for entry in task.history.entries])
    candidates = lines([candidate.item for candidate in task.candidates.items])
    return {
        name: [{"title": line.title, "item_id": line.item_id} for line in found]
        for name, found in (("history", history), ("candidates", candidates))
    }
