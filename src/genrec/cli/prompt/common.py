"""Options and openings that the commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genrec.cli.files import writable

if TYPE_CHECKING:
    from genrec.artifacts.workspace import Workspace
    from genrec.prompting.library import TemplateLibrary
    from genrec.prompting.tokenizer import ChatTokenizer
    from genrec.settings import Settings

DEFAULT_MODEL = "smollm2-135m"
DEFAULT_WORKSPACE = Path("workspace")
FOLDER_VARIABLE = "GENREC_PROMPTS__FOLDER"
FolderOption = Annotated[
    Path | None,
    typer.Option("--folder", envvar=FOLDER_VARIABLE, help="Your own templates; they go before the shipped ones."),
]
ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        help="Whose tokenizer and chat format: a known name or a folder; the workspace's, or smollm2-135m, if none.",
    ),
]
JsonOption = Annotated[
    str | None,
    typer.Option("--json", metavar="FILE", callback=writable, help="Write JSON to this file instead; '-' prints it."),
]
WorkspaceOption = Annotated[
    Path | None, typer.Option("--workspace", "-w", help="Folder of the catalogue; 'workspace' if there is one.")
]
TemplateId = Annotated[str, typer.Argument(metavar="ID", help="Template id, such as rank/pointwise.")]


def library_of(folder: Path | None) -> TemplateLibrary:
    """The templates of the folder, and the shipped ones."""
    from genrec.prompting.library import TemplateLibrary

    return TemplateLibrary(folder)


def tokenizer_of(model: str | None) -> ChatTokenizer:
    """The tokenizer of a model; a known one is fetched if needed."""
    from genrec.artifacts.models import resolve
    from genrec.prompting.tokenizer import load_tokenizer

    return load_tokenizer(fetched_folder(model) or resolve(model or DEFAULT_MODEL))


def tokenizer_at_hand(model: str | None) -> ChatTokenizer | None:
    """The same where the model was named, else the default one if it was fetched already."""
    return tokenizer_of(model) if model or fetched_folder(None) else None


def note(text: str) -> None:
    """A remark on stderr."""
    typer.secho(text, err=True, fg=typer.colors.YELLOW)


def opened(workspace: Path, folder: Path | None) -> tuple[Workspace, Settings]:
    """The workspace and its settings; `folder` goes before the template folder that they name."""
    from genrec.artifacts.workspace import Workspace
    from genrec.settings import Settings

    place = Workspace.open(workspace)
    return place, Settings.load(place.settings_file, {"prompts": {"folder": folder}})


def fetched_folder(model: str | None) -> Path | None:
    """The folder of a model that needs no download: a local one, or a known name in the cache; else None."""
    from genrec.artifacts.models import cached, known

    name = model or DEFAULT_MODEL
    path = Path(name).expanduser()
    if (path / "tokenizer.json").is_file():
        return path
    return cached(name) if name in known() else None
