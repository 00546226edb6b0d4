"""`genrec why`: why an item was recommended to somebody, or was not."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from genrec.artifacts.workspace import Workspace
from genrec.cli import options
from genrec.cli.console import out
from genrec.cli.files import write_json

app = typer.Typer()


@app.command()
def why(
    request_id: Annotated[str, typer.Argument(help="The request id that the answer carries.")],
    item: Annotated[str | None, typer.Option(help="Id of an item: why it was shown, or why not.")] = None,
    workspace: options.WorkspaceOption = Path("workspace"),
    json: options.JsonOption = None,
) -> None:
    """Says why each item of an answer stands where it stands, or why one item is not among them."""
    from genrec.data.store import open_store
    from genrec.explanation.why import why as asked

    with open_store(Workspace.open(workspace)) as store:
        found = asked(store, request_id, item)
    if json is not None:
        from genrec.serving.schemas import why_answer

        write_json(why_answer(found, item), json)
        return
    for line in found.lines:
        out.print(line, markup=False, highlight=False, soft_wrap=True)
