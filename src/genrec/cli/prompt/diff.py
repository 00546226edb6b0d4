"""`genrec prompt diff`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from genrec.cli.prompt import common
from genrec.cli.prompt import eval as evaluating

if TYPE_CHECKING:
    from genrec.prompting.comparing import Difference, Side


def diff(
    first: Annotated[str, typer.Argument(metavar="A", help="The template before: ID or ID@FOLDER.")],
    second: Annotated[
        str | None,
        typer.Argument(metavar="B", help="The one after: ID, ID@FOLDER, or a folder with the same ID in it."),
    ] = None,
    against_locked: Annotated[
        bool, typer.Option("--against-locked", help="Compare A with its texts that lint --update accepted last.")
    ] = False,
    case: Annotated[str | None, typer.Option("--case", help="Name of a case; all if not given.")] = None,
    users: Annotated[
        int | None,
        typer.Option("--users", min=1, help="Also let the model rank for so many users of the workspace, with both."),
    ] = None,
    workspace: common.WorkspaceOption = None,
    json: common.JsonOption = None,
    model: common.ModelOption = None,
    folder: common.FolderOption = None,
) -> None:
    """Show how two templates differ: source, text of every case, tokens, and with --users the order of titles.

    Without B, a local template is compared with the shipped one of the same id.
    """
    from genrec.errors import DataError
    from genrec.prompting import comparing

    if against_locked and second is not None:
        raise DataError("--against-locked compares one template", "leave out the second one")
    if against_locked and users is not None:
        raise DataError("what was accepted is a text, and ranks for nobody", "leave out --users, or name two templates")
    if users is not None or workspace is not None:
        workspace = workspace or common.DEFAULT_WORKSPACE
        _, settings = common.opened(workspace, folder)
        folder, model = settings.prompts.folder, model or settings.model.name
    library, tokenizer = common.library_of(folder), common.tokenizer_of(model)
    before = after = comparing.parse_side(first, library)
    if against_locked:
        found = comparing.compare_with_reviewed(after, tokenizer, case)
    else:
        if second is None:
            before = comparing.shadowed_side(*after)
        else:
            after = comparing.parse_side(second, library, before[1])
        found = comparing.compare(before, after, tokenizer, case)
    if json is None:
        _print(found)
    ranks, warnings = (None, []) if users is None else _ranks(before, after, users, workspace, model)
    if json is not None:
        from genrec.cli.files import write_json

        write_json({**found.as_json(), "ranks": ranks}, json)
    elif ranks is not None:
        typer.echo()
        evaluating.show_ranks(ranks)
    evaluating.warn(warnings)


def _ranks(
    before: Side, after: Side, users: int, workspace: Path | None, model: str | None
) -> tuple[dict[str, Any], list[str]]:
    """What changes in the order of the same slates of some users, and warnings."""
    from genrec.evaluation.templates.evaluate import compare_ranks
    from genrec.llm.loading import load

    new, old = (f"{template_id}@{library.folders[0]}" for library, template_id in (after, before))
    with evaluating.opened(None, workspace, {"name": model}) as run:
        pair = run.sides(new, old, None)
        return compare_ranks(pair, run.suite, run.context(users), load=load)


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
