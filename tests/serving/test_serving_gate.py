"""Every route of the server declares its scope; the gate closes what declares none."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from fastapi import APIRouter, FastAPI
from fastapi.testclient import TestClient
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from genrec.artifacts.workspace import Workspace
from genrec.data.sqlite.store import SqliteStore
from genrec.serving.gate import Gate
from genrec.serving.plugin import GenrecEndpoints
from genrec.serving.scopes import Scope, scope, scope_of
from genrec.serving.state import WORKSPACE_VARIABLE
from genrec.settings import ServingSettings

KEY = {"Authorization": "Bearer a-key"}
PAGE = Scope("admin", own_page=True)
SCOPES = {
    "/health": Scope("public"),
    "/v1/recommendations": Scope("recommend"),
    "/v1/recommendations/{request_id}": Scope("read"),
    "/v1/chat/completions": Scope("chat"),
    "/v1/events": Scope("events"),
    "/v1/users/{user_id:path}/history": Scope("read"),
    "/v1/items/{item_id:path}": Scope("read"),
    "/v1/models": Scope("read"),
    "/playground": Scope("public"),
    "/playground/static/{name}": Scope("public"),
    "/playground/api/state": PAGE,
    "/playground/api/templates/{template_id:path}": PAGE,
    "/playground/api/users": PAGE,
    "/playground/api/preview": PAGE,
    "/playground/api/lint": PAGE,
    "/playground/api/diff": PAGE,
    "/playground/api/run": PAGE,
}
ENGINE = ("/tokenize", "/invocations", "/v1/completions", "/v1/chat/completions", "/v1/models", "/health")


def app_of(**settings: object) -> FastAPI:
    """genrec's routes in place of the engine's of the same path, as vLLM puts them, behind the gate."""
    app = FastAPI(openapi_url=None)

    async def engine() -> dict[str, str]:
        return {"from": "engine"}

    for path in ENGINE:
        app.add_api_route(path, engine, methods=["GET", "POST"])
    figures = Route("/metrics", lambda _: PlainTextResponse("figures"))
    theirs = [*app.routes, figures, Mount("/metrics", Starlette(routes=[Route("/{rest:path}", figures.endpoint)]))]
    GenrecEndpoints().attach_router(app)
    own = [route for route in app.routes if route not in theirs]
    app.router.routes[:] = own + theirs
    app.add_middleware(Gate, settings=ServingSettings(api_key="a-key", **settings))
    return app


def client_of(app: FastAPI) -> TestClient:
    return TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False)


def test_every_route_of_genrec_declares_its_scope() -> None:
    app = app_of()
    declared = {route.path: scope_of(route) for route in app.routes if scope_of(route)}
    assert declared == {**SCOPES, "/metrics": Scope("admin")}


@pytest.mark.parametrize("path", ["/tokenize", "/invocations", "/v1/completions", "/v1/nonsense", "/", "/docs"])
def test_what_declares_no_scope_is_closed(path: str) -> None:
    client = client_of(app_of())
    assert client.post(path).status_code == 401
    answer = client.post(path, headers=KEY)
    assert answer.status_code == 404
    assert f"there is no route {path}" in answer.json()["error"]["message"]


def test_engine_routes_open_by_a_setting_and_need_the_key() -> None:
    client = client_of(app_of(open_engine_routes=True))
    assert client.post("/tokenize").status_code == 401
    assert client.post("/tokenize", headers=KEY).json() == {"from": "engine"}
    assert client.post("/v1/nonsense", headers=KEY).status_code == 404


def test_another_method_of_an_open_path_opens_no_route_of_the_engine() -> None:
    client = client_of(app_of())
    for method, path in (("GET", "/v1/chat/completions"), ("POST", "/v1/models"), ("POST", "/health")):
        assert client.request(method, path, headers=KEY).status_code == 404
    assert client.put("/v1/events", headers=KEY).status_code == 405


def test_only_public_routes_need_no_key() -> None:
    app = app_of()
    client = client_of(app)
    for path, needed in SCOPES.items():
        filled = path.replace("{name}", "app.js").split("{")[0] + ("x/history" if "user_id" in path else "x")
        method = next(iter(next(route for route in app.routes if route.path == path).methods))
        status = client.request(method, path if "{" not in path else filled.replace(".jsx", ".js")).status_code
        assert (status == 401) is (needed.name != "public"), path
    assert client.get("/metrics").status_code == 401
    assert client.get("/metrics", headers=KEY).text == "figures"
    assert client.get("/metrics/more", headers=KEY).status_code == 404
    assert client.get("/playground/").status_code == 200


@pytest.mark.parametrize(("declared", "status"), [(None, 404), ("read", 200)])
def test_a_new_route_is_open_by_its_declaration_alone(declared: str | None, status: int) -> None:
    router = APIRouter()

    async def new() -> dict[str, int]:
        return {"answer": 42}

    router.get("/v1/new/{number}")(scope(declared)(new) if declared else new)  # type: ignore[arg-type]
    app = app_of()
    app.include_router(router)
    assert client_of(app).get("/v1/new/1", headers=KEY).status_code == status


SERVER = """
import json, logging
from genrec.llm import hardware
from genrec.llm.engines.vllm import set_environment
set_environment(hardware.device(), offline=False)
from fastapi.testclient import TestClient
from vllm.entrypoints.launchers.app import build_app
from vllm.entrypoints.launchers.cli_args import make_arg_parser
from vllm.utils.argparse_utils import FlexibleArgumentParser
from genrec.serving.launch import server_arguments
from genrec.serving.scopes import scope_of
from genrec.serving.state import serving_settings
arguments = server_arguments(serving_settings())
app = build_app(make_arg_parser(FlexibleArgumentParser()).parse_args(arguments), ("generate",), None)
client = TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False)
found = {"scopes": {}, "closed": {}}
for route in app.routes:
    declared = scope_of(route)
    if declared is not None:
        found["scopes"][route.path] = [declared.name, declared.own_page]
    elif not any(scope_of(other) and other.path == route.path for other in app.routes):
        method = sorted(route.methods)[-1] if getattr(route, "methods", None) else "GET"
        found["closed"][route.path] = client.request(method, route.path).status_code
print(json.dumps(found))
"""


@pytest.mark.model
def test_the_routes_of_the_server_as_vllm_builds_it_are_those_that_declare_a_scope(tmp_path: Path) -> None:
    workspace = Workspace.create(tmp_path / "W")
    SqliteStore(workspace.database, create=True).close()
    environment = {**os.environ, WORKSPACE_VARIABLE: str(workspace.root), "VLLM_PLUGINS": "genrec"}
    done = subprocess.run(
        [sys.executable, "-c", SERVER], env=environment, capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    expected = {path: [one.name, one.own_page] for path, one in SCOPES.items()}
    assert found["scopes"] == {**expected, "/metrics": ["admin", False]}
    assert "/tokenize" in found["closed"]
    assert set(found["closed"].values()) == {404}
