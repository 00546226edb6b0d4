"""`genrec prompt new`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from genrec.cli.prompt import common

NewFolderOption = Annotated[
    Path | None,
    typer.Option("--folder", envvar=common.FOLDER_VARIABLE, help="Where it is written; made if it is missing."),
]


def new(
    template_id: Annotated[str, typer.Argument(metavar="ID", help="Id of the new template, such as rank/mine.")],
    source: Annotated[
        str | None, typer.Option("--from", metavar="ID", help="The template to copy, such as rank/pointwise.")
    ] = None,
    task: Annotated[
        str | None, typer.Option(help="In place of --from: the plainest template of a task, rank or explain.")
    ] = None,
    language: Annotated[str, typer.Option(help="With --task: in which language, en or zh.")] = "en",
    model: common.ModelOption = None,
    folder: NewFolderOption = None,
) -> None:
    """Start a template of your own in --folder: a copy that works, with all that lint asks for. Overwrites nothing."""
    from genrec.errors import TemplateError
    from genrec.prompting import creating

    if folder is None:
        raise TemplateError("a new template needs a folder of your own", "name it: --folder my-prompts")
    if source is not None and task is not None:
        raise TemplateError("--from and --task are two ways to say the same", "give one of them")
    library = common.library_of(folder if folder.is_dir() else None)
    begin = library.get(source) if source else creating.skeleton(library, task or "rank", language)
    path = creating.create(template_id, begin, folder, common.tokenizer_of(model))
    typer.echo(f"{path}, a copy of {begin.id}@{begin.version}")
    common.note(f"see it: genrec prompt render {template_id} --folder {folder}")
