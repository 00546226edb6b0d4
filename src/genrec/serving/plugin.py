"""The endpoint plugin that vLLM's server loads: genrec's routes, and the recommender behind them."""

from __future__ import annotations

import logging
from argparse import Namespace
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from starlette.datastructures import State

from genrec.artifacts.adapters import label
from genrec.errors import GenrecError
from genrec.serving import chat, routes
from genrec.serving.errors import on_genrec_error
from genrec.serving.models import ServedModels
from genrec.serving.playground import routes as playground
from genrec.serving.playground.served import ServedPlaygroundService
from genrec.serving.state import Live, served_adapters, served_workspace, serving_settings


class GenrecEndpoints:
    """Satisfies vLLM's `EndpointPlugin`."""

    name = "genrec"
    required_tasks = ("generate",)

    def attach_router(self, app: FastAPI) -> None:
        """Adds the routes; those that vLLM has too are replaced."""
        chat.attach(app)
        app.include_router(routes.router)
        app.include_router(playground.router)
        app.add_exception_handler(GenrecError, on_genrec_error)

    async def init_state(self, engine_client: Any, state: State, args: Namespace) -> None:
        """Opens the workspace around the running engine, and loads the adapters."""
        from genrec.llm.engines.vllm import VllmServed

        # vLLM's level holds for everything in its processes; genrec's own warnings are few and meant to be read.
        logging.getLogger("genrec").setLevel(logging.WARNING)
        workspace, settings = served_workspace(), serving_settings()
        merged = None if settings.model.adapter is None else label(Path(settings.model.adapter))
        model = VllmServed(engine_client, settings.model.name, adapter=merged)
        state.genrec = Live(workspace, settings, ServedModels(workspace.root, served_adapters(), model))
        for name in reversed(state.genrec.models.names):
            await state.genrec.recommender(adapter=name)
        state.playground = await ServedPlaygroundService.open(state.genrec, settings)
