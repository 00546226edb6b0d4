"""`genrec prompt playground`: the page of templates without an engine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def playground(
    workspace: Annotated[
        Path | None,
        typer.Option(
            "--workspace", "-w", help="Folder of a catalogue with users; without one: cases and titles that you type."
        ),
    ] = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on this machine.")] = 8010,
    model: Annotated[
        str | None, typer.Option("--model", help="Whose tokenizer; that of the workspace, or smollm2-135m, if none.")
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--folder", envvar="GENREC_PROMPTS__FOLDER", help="Your own templates; they go before the shipped ones."
        ),
    ] = None,
) -> None:
    """Edit templates in the browser and see what the model reads; runs no model and writes nothing."""
    from genrec.artifacts.models import resolve
    from genrec.artifacts.workspace import Workspace
    from genrec.cli.console import console
    from genrec.data.ratings import with_liked
    from genrec.data.store import open_store
    from genrec.errors import MissingExtraError
    from genrec.settings import Settings

    try:
        from genrec.serving.playground.inputs import Catalogue
        from genrec.serving.playground.preview import serve_preview
        from genrec.serving.playground.service import Engine, PlaygroundService
    except ImportError as error:
        raise MissingExtraError("the web server is not installed", "install genrec[cpu] or genrec[gpu]") from error
    place = None if workspace is None else Workspace.open(workspace)
    settings = Settings.load(
        None if place is None else place.settings_file,
        {
            "model": {"name": model},
            "prompts": {"folder": folder},
            "serving": {"host": "127.0.0.1", "port": port, "allow_template_preview": True},
        },
    )
    folder_of_model = Path(settings.model.name).expanduser()
    tokenizer = folder_of_model if (folder_of_model / "tokenizer.json").is_file() else resolve(settings.model.name)
    catalogue = None
    if place is not None:
        store = open_store(place, settings)
        catalogue = Catalogue(store, with_liked(settings, store).scoring.liked)
    service = PlaygroundService(
        Engine(settings.model.name, tokenizer, context=settings.model.context),
        edits=True,
        folder=settings.prompts.folder,
        catalogue=catalogue,
    )
    console.print(f"open http://127.0.0.1:{port}/playground (Ctrl-C ends it)")
    serve_preview(service, settings.serving)
