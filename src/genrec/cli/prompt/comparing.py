"""`genrec prompt diff`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from genrec.cli.prompt import common

if TYPE_CHECKING:
    from genrec.prompting.comparing import Difference


def diff(
    first: Annotated[str, typer.Argument(metavar="A", help="The template before: ID or ID@FOLDER.")],
    second: Annotated[
        str | None,
        typer.Argument(metavar="[B]", help="The one after: ID, ID@FOLDER, or a folder with the same ID in it."),
    ] = None,
    against_locked: Annotated[
        bool, typer.Option("--against-locked", help="Compare A with the text of its cases that was accepted last.")
    ] = False,
    case: Annotated[str | None, typer.Option("--case", help="Only this case.")] = None,
    json: common.JsonOption = None,
    model: common.ModelOption = None,
    folder: common.FolderOption = None,
) -> None:
    """Show what differs between two templates: source, text of every case, and tokens.

    Without B, a local template is compared with the shipped one of the same id.
    """
    from genrec.errors import DataError
    from genrec.prompting import comparing

    if against_locked and second is not None:
        raise DataError("--against-locked compares one template", "leave out the second one")
    library = common.library_of(folder)
    side = comparing.parse_side(first, library)
    if against_locked:
        found = comparing.compare_with_reviewed(side, common.tokenizer_of(model), case)
    elif second is None:
        found = comparing.compare(comparing.shadowed_side(*side), side, common.tokenizer_of(model), case)
    else:
        other = comparing.parse_side(second, library, side[1])
        found = comparing.compare(side, other, common.tokenizer_of(model), case)
    if json is not None:
        from genrec.cli.console import write_json

        write_json(found.as_json(), json)
        return
    _print(found)


def _print(found: Difference) -> None:
    typer.secho(f"{found.before} -> {found.after}", bold=True)
    _lines(found.source)
    for case in found.cases:
        if case.lines or case.problem:
            typer.secho(f"\ncase {case.name}", bold=True)
            _lines(case.lines)
        if case.problem:
            typer.secho(case.problem, fg=typer.colors.YELLOW)
    typer.secho(f"\n{'tokens':<28}{'before':>8}{'after':>8}{'change':>8}", bold=True)
    for case in found.cases:
        _tokens(case.name, case.before, case.after)
    _tokens("all cases", *found.total())


def _lines(lines: Iterable[str]) -> None:
    colours = {"+": typer.colors.GREEN, "-": typer.colors.RED, "@": typer.colors.CYAN}
    for line in lines:
        typer.secho(line, fg=colours.get(line[:1]))


def _tokens(name: str, before: int | None, after: int | None) -> None:
    change = "-" if before is None or after is None else f"{after - before:+d}"
    cells = "".join(f"{'-' if count is None else count:>8}" for count in (before, after))
    typer.echo(f"{name:<28}{cells}{change:>8}")
