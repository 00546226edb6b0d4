"""Options that several commands share."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from genrec.artifacts import adapters
from genrec.artifacts.workspace import Workspace
from genrec.cli.files import writable
from genrec.errors import SettingsError
from genrec.settings import Settings

WorkspaceOption = Annotated[Path, typer.Option("--workspace", "-w", help="Folder of the catalogue.")]
JsonOption = Annotated[
    str | None, typer.Option("--json", callback=writable, help="Write JSON to this file; '-' is stdout.")
]
ModelOption = Annotated[str | None, typer.Option("--model", help="Known name, folder or hub name of the model.")]
EngineOption = Annotated[str | None, typer.Option("--engine", help="vllm, transformers or openai.")]
RankerOption = Annotated[str | None, typer.Option("--ranker", help="pointwise, single_pass or listwise.")]
TemplateOption = Annotated[str | None, typer.Option("--template", help="Template id.")]
PolicyOption = Annotated[str | None, typer.Option("--policy", help="annotate, fuse or veto.")]

AdapterOption = Annotated[
    str | None,
    typer.Option("--adapter", help="Tuned adapter: NAME or NAME@VERSION of the workspace, or a folder; 'base': none."),
]


def open_workspace(
    folder: Path,
    *,
    model: str | None = None,
    engine: str | None = None,
    adapter: str | None = None,
    ranker: str | None = None,
    template: str | None = None,
    policy: str | None = None,
    resolve: bool = True,
    **sections: dict[str, Any],
) -> tuple[Workspace, Settings]:
    """The workspace and its settings, with the flags that were given on top.

    The adapter's name becomes its folder (not with `resolve=False`); a warning says if it was tuned on another
    template or model. NotFoundError if there is no such adapter.
    """
    workspace = Workspace.open(folder)
    flags: dict[str, dict[str, Any]] = {
        "model": {"name": model, "engine": engine, "adapter": adapter},
        "ranking": {"ranker": ranker, "template": template},
        "policy": {"name": policy},
        **sections,
    }
    settings = Settings.load(workspace.settings_file, flags)
    from genrec.data.ratings import with_liked  # numpy is not needed by what only lists templates
    from genrec.data.store import open_store

    with open_store(workspace, settings) as store:
        settings = with_liked(settings, store)
    if resolve:
        settings = adapters.resolved(workspace.root, settings)
        warn_of_mismatch(settings)
    return workspace, settings


def warn_of_mismatch(settings: Settings) -> None:
    """Says on the console if the adapter of resolved settings was tuned on another template or model."""
    from genrec.errors import NotFoundError
    from genrec.ranking.loading import template_of

    with suppress(NotFoundError):  # of the ranker: its loading says so
        warn(adapters.mismatch_of(settings, template_of(settings).ref))


def warn(said: str | None) -> None:
    """Says it on the console, if there is anything to say."""
    if said is not None:
        from rich.markup import escape

        from genrec.cli.console import console

        console.print(f"[bold yellow]warning:[/] {escape(said)}", soft_wrap=True)


QueryOption = Annotated[str | None, typer.Option(help="What the user asks for, in words.")]
OldQueryOption = Annotated[str | None, typer.Option("--request", hidden=True)]


def query_of(query: str | None, old: str | None) -> str | None:
    """The query, which `--request` named until 0.3. SettingsError where both are given."""
    if old is None:
        return query
    if query is not None:
        raise SettingsError("--request is the old name of --query", "give one of them")
    warn("--request is now called --query; the old name ends with 0.3")
    return old
