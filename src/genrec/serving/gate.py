"""The gate in front of every route: an allow-list, and the API key if one is set.

vLLM guards only some of its routes with its own key check and opens several that a recommender has no use for, so both
are decided here, once, for everything that the server answers.
"""

from __future__ import annotations

import hashlib
import re
import secrets

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from genrec.serving.errors import error_response

ALLOWED = re.compile(
    r"/health|/metrics|/v1/models|/v1/chat/completions|/v1/recommendations|/v1/events"
    r"|/v1/users/.+/history|/v1/items/.+"
)
"""Paths that are open to callers who pass the key check."""


class Gate:
    """ASGI middleware. Settings come from the running server's (see `genrec.serving.state`)."""

    def __init__(self, app: ASGIApp) -> None:
        from genrec.serving.state import serving_settings

        settings = serving_settings().serving
        self._app = app
        self._key = None if settings.api_key is None else hashlib.sha256(settings.api_key.encode()).digest()
        self._open = settings.open_engine_routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # nothing here speaks websocket
            await send({"type": "websocket.close", "code": 1008})
            return
        path = scope["path"]
        if path != "/health" and not self._has_key(Headers(scope=scope)):
            response = error_response("a valid API key is needed: send it as 'Authorization: Bearer KEY'", 401)
        elif not self._open and not ALLOWED.fullmatch(path):
            response = error_response(f"there is no route {path}", 404)
        else:
            await self._app(scope, receive, send)
            return
        await response(scope, receive, send)

    def _has_key(self, headers: Headers) -> bool:
        if self._key is None:
            return True
        scheme, _, key = headers.get("authorization", "").partition(" ")
        given = hashlib.sha256(key.encode()).digest()
        return scheme.lower() == "bearer" and secrets.compare_digest(given, self._key)
