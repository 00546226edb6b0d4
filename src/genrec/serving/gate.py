"""The gate in front of every route: the scope it declares, the API key if one is set, and whom a browser speaks for.

vLLM guards only some of its routes with its own key check and opens several that a recommender has no use for, so both
are decided here, once, for everything that the server answers. A route that declares no scope is closed.
"""

from __future__ import annotations

import hashlib
import secrets

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from genrec.serving.errors import error_response
from genrec.serving.hosts import LOCAL, name_of
from genrec.serving.scopes import answering, scope_of
from genrec.settings import ServingSettings


class Gate:
    """ASGI middleware. Settings come from the running server's if not given (see `genrec.serving.state`)."""

    def __init__(self, app: ASGIApp, settings: ServingSettings | None = None) -> None:
        if settings is None:
            from genrec.serving.state import serving_settings

            settings = serving_settings().serving
        self._app = app
        self._key = None if settings.api_key is None else hashlib.sha256(settings.api_key.encode()).digest()
        self._open = settings.open_engine_routes
        self._local_only = settings.allow_template_preview

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # nothing here speaks websocket
            await send({"type": "websocket.close", "code": 1008})
            return
        refused = self._refusal(scope, Headers(scope=scope))
        await (refused or self._app)(scope, receive, send)

    def _refusal(self, call: Scope, headers: Headers) -> Response | None:
        # A name of a stranger that leads to this machine (DNS rebinding) still stands in Host.
        if self._local_only and name_of(headers.get("host", "")) not in LOCAL:
            return error_response("this server answers on this machine only: ask for localhost", 403)
        needed = scope_of(answering(call["app"].routes, call))
        if needed is not None and needed.own_page and not _same_origin(headers):
            return error_response("the page of another site asks, and only this server's own page may", 403)
        if (needed is None or needed.name != "public") and not self._has_key(headers):
            return error_response("a valid API key is needed: send it as 'Authorization: Bearer KEY'", 401)
        if needed is None and not self._open:
            return error_response(f"there is no route {call['path']}", 404)
        return None

    def _has_key(self, headers: Headers) -> bool:
        if self._key is None:
            return True
        scheme, _, key = headers.get("authorization", "").partition(" ")
        given = hashlib.sha256(key.encode()).digest()
        return scheme.lower() == "bearer" and secrets.compare_digest(given, self._key)


def _same_origin(headers: Headers) -> bool:
    """False where a browser says that it asks for the page of another site. Other programs say nothing."""
    origin = headers.get("origin")
    if origin is not None:
        return origin.partition("://")[2] == headers.get("host")
    return headers.get("sec-fetch-site", "none") in ("same-origin", "none")
