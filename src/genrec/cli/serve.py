"""`genrec serve`: the HTTP server."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from genrec.artifacts.adapters import BASE, resolved, with_adapter
from genrec.artifacts.workspace import Workspace
from genrec.cli import options
from genrec.cli.console import console
from genrec.errors import WorkspaceError
from genrec.settings import Settings

app = typer.Typer()


@app.command()
def serve(
    workspace: options.WorkspaceOption = Path("workspace"),
    host: Annotated[str | None, typer.Option(help="Address to bind; all interfaces only when you say 0.0.0.0.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port.")] = None,
    open_engine_routes: Annotated[
        bool | None, typer.Option("--open-engine-routes", help="Also open the routes that vLLM adds by itself.")
    ] = None,
    allow_template_preview: Annotated[
        bool | None,
        typer.Option("--allow-template-preview", help="Let /playground send edited templates; localhost only."),
    ] = None,
    model: options.ModelOption = None,
    adapter: Annotated[
        list[str] | None,
        typer.Option(help="Tuned adapter: NAME, NAME@VERSION or a folder; may be repeated, the first is the default."),
    ] = None,
    live_adapters: Annotated[
        bool,
        typer.Option("--live-adapters", help="Keep a single adapter apart from the base: slower on a CPU, swappable."),
    ] = False,
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
        resolve=False,
        serving={
            "host": host,
            "port": port,
            "open_engine_routes": open_engine_routes,
            "allow_template_preview": allow_template_preview,
        },
    )
    from genrec.serving.hosts import LOCAL
    from genrec.serving.launch import serve as run

    if settings.serving.host not in LOCAL and settings.serving.api_key is None:
        console.print(
            f"[yellow]warning:[/] {settings.serving.host} is open to the network and no API key is set "
            "(GENREC_SERVING__API_KEY)"
        )
    named = adapter if adapter is not None else [settings.model.adapter or BASE]
    wanted = [reference for reference in named if reference not in ("", BASE)]
    _warn(place, [resolved(place.root, with_adapter(settings, reference)) for reference in wanted or [BASE]])
    console.print(f"starting on http://{settings.serving.host}:{settings.serving.port} (Ctrl-C ends it)")
    run(place, settings, wanted, live_adapters=live_adapters)


def _warn(place: Workspace, served: list[Settings]) -> None:
    """Says what adapters were not tuned for, and what the live fit has not weighed."""
    from genrec.ranking.loading import llm_ranker_key_in
    from genrec.scoring.scorer import Scorer

    scorer = None
    with suppress(WorkspaceError):  # nothing fitted: the start says so
        scorer = Scorer.load(place.part("scoring"))
    for settings in served:
        options.warn_of_mismatch(settings)
        options.warn(None if scorer is None else scorer.missing_weights_warning(llm_ranker_key_in(settings)))
