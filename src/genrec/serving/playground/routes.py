"""Routes of the page: its files, which need no key, and its data, which are behind the gate as all else is."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, JSONResponse, Response

from genrec.serving.errors import BadRequestError, error_response, read_body
from genrec.serving.playground.bodies import LintBody, PreviewBody, RunBody
from genrec.serving.playground.service import PlaygroundService
from genrec.serving.scopes import scope

STATIC = Path(__file__).parent / "static"
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
        " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
MAX_USERS = 100

router = APIRouter(prefix="/playground")


def service(request: Request) -> PlaygroundService:
    """What stands behind the page of this server process."""
    return request.app.state.playground  # type: ignore[no-any-return]


@router.get("")
@scope("public")
async def page() -> Response:
    """The page."""
    return _file("index.html")


@router.get("/static/{name}")
@scope("public")
async def static(name: str) -> Response:
    """A file of the page."""
    return _file(name)


@router.get("/api/state")
@scope("admin", own_page=True)
async def state(request: Request) -> JSONResponse:
    """What the page can do here, and all templates."""
    return _json(await service(request).state())


@router.get("/api/templates/{template_id:path}")
@scope("admin", own_page=True)
async def template(request: Request, template_id: str) -> JSONResponse:
    """Text and cases of a template as they are stored."""
    return _json(await service(request).template(template_id))


@router.get("/api/users")
@scope("admin", own_page=True)
async def users(request: Request, prefix: str = "", limit: str = "20") -> JSONResponse:
    """Ids of users that start with `prefix`."""
    if len(limit) > 3 or not limit.isdecimal() or not 1 <= int(limit) <= MAX_USERS:
        raise BadRequestError(f"limit must be a whole number from 1 to {MAX_USERS}", param="limit")
    return _json({"users": await service(request).users(prefix[:512], int(limit))})


@router.post("/api/preview")
@scope("admin", own_page=True)
async def preview(request: Request) -> JSONResponse:
    """The rendered prompt, or what is wrong with the template."""
    body = await read_body(request, PreviewBody)
    return _json(await service(request).preview(body.template, body.inputs))


@router.post("/api/lint")
@scope("admin", own_page=True)
async def lint(request: Request) -> JSONResponse:
    """Findings about a template, its cases included."""
    return _json(await service(request).lint((await read_body(request, LintBody)).template))


@router.post("/api/diff")
@scope("admin", own_page=True)
async def diff(request: Request) -> JSONResponse:
    """The unified diff from the stored text to the given one."""
    return _json(await service(request).diff((await read_body(request, LintBody)).template))


@router.post("/api/run")
@scope("admin", own_page=True)
async def run(request: Request) -> JSONResponse:
    """The ranking that the template makes, with what the model said of each item."""
    return _json(await service(request).run(await read_body(request, RunBody)))


def _json(data: object) -> JSONResponse:
    return JSONResponse(data, headers={"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"})


def _file(name: str) -> Response:
    path = STATIC / name
    if path.parent != STATIC or path.suffix not in TYPES or not path.is_file():
        return error_response("there is no such file", 404)
    return FileResponse(path, media_type=TYPES[path.suffix], headers=HEADERS)
