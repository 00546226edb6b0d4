"""The page without an engine: `genrec prompt playground`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from genrec.errors import GenrecError
from genrec.serving.errors import on_genrec_error
from genrec.serving.gate import Gate
from genrec.serving.playground import routes
from genrec.serving.playground.service import PlaygroundService
from genrec.settings import ServingSettings


def preview_app(service: PlaygroundService, settings: ServingSettings) -> FastAPI:
    """The page and nothing else, behind the gate that the server has."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await service.close()

    app = FastAPI(lifespan=lifespan, openapi_url=None)
    app.state.playground = service
    app.include_router(routes.router)
    app.add_exception_handler(GenrecError, on_genrec_error)
    app.add_middleware(Gate, settings=settings)
    return app


def serve_preview(service: PlaygroundService, settings: ServingSettings) -> None:
    """Serves until it is interrupted."""
    import uvicorn

    uvicorn.run(preview_app(service, settings), host=settings.host, port=settings.port, log_level="warning")
