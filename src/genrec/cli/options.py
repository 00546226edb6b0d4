"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from genrec.settings import Settings
from genrec.workspace import Workspace

WorkspaceOption = Annotated[Path, typer.Option("--workspace", "-w", help="Folder of the catalogue.")]
JsonOption = Annotated[str | None, typer.Option("--json", help="Write JSON to this file; '-' is stdout.")]
ModelOption = Annotated[str | None, typer.Option("--model", help="Known name, folder or hub name of the model.")]
EngineOption = Annotated[str | None, typer.Option("--engine", help="vllm, transformers or openai.")]
RankerOption = Annotated[str | None, typer.Option("--ranker", help="pointwise, single_pass or listwise.")]
TemplateOption = Annotated[str | None, typer.Option("--template", help="Template id.")]
PolicyOption = Annotated[str | None, typer.Option("--policy", help="annotate, fuse or veto.")]


def open_workspace(
    folder: Path,
    *,
    model: str | None = None,
    engine: str | None = None,
    ranker: str | None = None,
    template: str | None = None,
    policy: str | None = None,
    **sections: dict[str, Any],
) -> tuple[Workspace, Settings]:
    """The workspace and its settings, with the flags that were given on top."""
    workspace = Workspace.open(folder)
    flags: dict[str, dict[str, Any]] = {
        "model": {"name": model, "engine": engine},
        "ranking": {"ranker": ranker, "template": template},
        "checks": {"policy": policy},
        **sections,
    }
    return workspace, Settings.load(workspace.settings_file, flags)
