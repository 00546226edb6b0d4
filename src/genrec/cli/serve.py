"""`genrec serve`: the HTTP server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from genrec.cli import options
from genrec.cli.console import console

app = typer.Typer()


@app.command()
def serve(
    workspace: options.WorkspaceOption = Path("workspace"),
    host: Annotated[str | None, typer.Option(help="Address to bind; all interfaces only when you say 0.0.0.0.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port.")] = None,
    open_engine_routes: Annotated[
        bool | None, typer.Option("--open-engine-routes", help="Also open the routes that vLLM adds by itself.")
    ] = None,
    model: options.ModelOption = None,
    ranker: options.RankerOption = None,
    template: options.TemplateOption = None,
    policy: options.PolicyOption = None,
) -> None:
    """Serves recommendations and OpenAI-compatible chat from one workspace. The API key: GENREC_SERVING__API_KEY."""
    place, settings = options.open_workspace(
        workspace,
        model=model,
        ranker=ranker,
        template=template,
        policy=policy,
        serving={"host": host, "port": port, "open_engine_routes": open_engine_routes},
    )
    from genrec.serving.launch import serve as run

    if settings.serving.host not in ("127.0.0.1", "localhost", "::1") and settings.serving.api_key is None:
        console.print(
            f"[yellow]warning:[/] {settings.serving.host} is open to the network and no API key is set "
            "(GENREC_SERVING__API_KEY)"
        )
    console.print(f"starting on http://{settings.serving.host}:{settings.serving.port} (Ctrl-C ends it)")
    run(place, settings)
