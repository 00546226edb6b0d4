"""Scopes of HTTP routes, declared where a route is: `@scope("read")` below `@router.get(...)`.

A route without a scope is closed. The gate asks the running app which route will answer a call, and reads its scope.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from starlette.routing import BaseRoute, Match, Route
from starlette.types import Scope as Connection

Name = Literal["public", "recommend", "events", "read", "chat", "admin"]
"""public: needs no key, and shows no data. All others need it. recommend, chat: what a model answers. events: writes to
the log. read: what is stored. admin: for those who run the server."""
Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])
_ATTRIBUTE = "genrec_scope"


@dataclass(frozen=True, slots=True)
class Scope:
    """What a caller of a route must be allowed to do. `own_page`: browsers may ask for this server's own page only."""

    name: Name
    own_page: bool = False


ENGINE = {"/metrics": Scope("admin")}
"""Routes of the engine, by path, that are open like genrec's own."""


def scope(name: Name, *, own_page: bool = False) -> Callable[[Endpoint], Endpoint]:
    """Declares the scope of an endpoint."""

    def declared(endpoint: Endpoint) -> Endpoint:
        setattr(endpoint, _ATTRIBUTE, Scope(name, own_page))
        return endpoint

    return declared


def scope_of(route: BaseRoute | None) -> Scope | None:
    """The declared scope of a route; None where there is none, or no route."""
    if not isinstance(route, Route):  # what is mounted answers more paths than its own
        return None
    return getattr(route.endpoint, _ATTRIBUTE, None) or ENGINE.get(route.path)


def answering(routes: Iterable[BaseRoute], connection: Connection) -> BaseRoute | None:
    """The route that the app gives a call to: the first that fits path and method, else the first of the path."""
    partial = None
    for route in routes:
        match, _ = route.matches(connection)
        if match is Match.FULL:
            return route
        if match is Match.PARTIAL and partial is None:
            partial = route
    path = connection["path"]
    if partial is None and path != "/" and path.endswith("/"):  # the app leads to the path without it
        return answering(routes, {**connection, "path": path.rstrip("/")})
    return partial
