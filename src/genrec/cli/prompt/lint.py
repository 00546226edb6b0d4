"""`genrec prompt lint` and `lock`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from genrec.cli.prompt import common

if TYPE_CHECKING:
    from genrec.prompting.lint import Snapshots

Ids = Annotated[
    list[str] | None, typer.Argument(metavar="ID", help="Templates, such as rank/pointwise; all if none is given.")
]
Form = Annotated[
    Literal["text", "json", "github", "sarif"],
    typer.Option("--format", help="text to read; github and sarif: for code hosts, which show it beside the line."),
]


def lint(
    ids: Ids = None,
    update: Annotated[
        bool, typer.Option("--update", help="Accept the rendered texts: write them as snapshots.")
    ] = False,
    explain: Annotated[
        str | None, typer.Option("--explain", metavar="CODE", help="Only say what a code means and how to fix it.")
    ] = None,
    form: Form = "text",
    model: common.ModelOption = None,
    folder: common.FolderOption = None,
) -> None:
    """Find mistakes in templates: a line `file:line code message (hint)` for each; exit code 1 if there is one.

    Cases are example inputs in ID.cases.yaml; snapshots are their texts as accepted last, with --update.
    Both are checked if the tokenizer is here: genrec data fetch smollm2-135m, or --model FOLDER.
    """
    from genrec.prompting.lint import formats
    from genrec.prompting.lint import lint as find

    if explain is not None:
        return _explain(explain)
    library = common.library_of(folder)
    tokenizer = common.tokenizer_of(model) if update else common.tokenizer_at_hand(model)
    if tokenizer is None:
        common.note(
            "note: cases and snapshots need a tokenizer and were not checked;"
            f" run genrec data fetch {common.DEFAULT_MODEL}, or name a model folder with --model"
        )
    checked = ids or library.ids()
    snapshots: Snapshots = "update" if update else "check" if model in (None, common.DEFAULT_MODEL) else "skip"
    findings = [finding for template_id in checked for finding in find(library, template_id, tokenizer, snapshots)]
    findings = list(dict.fromkeys(findings))
    if findings or form in ("json", "sarif"):
        typer.echo(formats.written(findings, form))
    if findings:
        raise typer.Exit(1)
    typer.echo(f"nothing found in {len(checked)} of {len(library.ids())} templates", err=True)


def _explain(code: str) -> None:
    from genrec.errors import NotFoundError
    from genrec.prompting.lint import CODES

    if code not in CODES:
        raise NotFoundError(f"there is no code '{code}'", f"the codes are {', '.join(CODES)}")
    typer.echo(f"{code}\n\n{CODES[code].meaning}\n\nWhat to do: {CODES[code].fix}")


def lock(folder: common.FolderOption = None) -> None:
    """Record every template with its version in prompts.lock; refuses one that changed while its version did not."""
    from genrec.prompting.library import LOCK
    from genrec.prompting.lock import write_lock

    library = common.library_of(folder)
    root = library.folders[0]
    templates = [template for template in map(library.get, library.ids()) if library.root(template) == root]
    write_lock(root, templates)
    typer.echo(f"locked {len(templates)} in {root / LOCK}", err=True)
