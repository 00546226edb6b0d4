"""`genrec prompt render`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from genrec.cli import options
from genrec.cli.prompt import common

if TYPE_CHECKING:
    from genrec.prompting.preview import Preview


def render(
    template_id: common.TemplateId,
    case: Annotated[str | None, typer.Option("--case", help="Name of a case; the first one if not given.")] = None,
    user: Annotated[
        str | None, typer.Option("--user", help="Id of a user of the workspace, in place of a case.")
    ] = None,
    workspace: common.WorkspaceOption = None,
    query: Annotated[str | None, typer.Option(help="With --user: what the user asks for, in words.")] = None,
    request: options.OldQueryOption = None,
    tokens: Annotated[
        bool,
        typer.Option(
            "--tokens", help="Also show what takes how many tokens, and where the part ends that the engine can keep."
        ),
    ] = False,
    block: Annotated[
        int, typer.Option("--block", min=1, help="With --tokens: the engine keeps whole blocks of so many tokens.")
    ] = 1,
    json: common.JsonOption = None,
    model: common.ModelOption = None,
    folder: common.FolderOption = None,
) -> None:
    """Print what the model reads for a case (an example of ID.cases.yaml) or a real user, exactly as when serving."""
    from genrec.errors import DataError
    from genrec.prompting.cases import find_case, inputs_of
    from genrec.prompting.preview import preview

    if user is not None and case is not None:
        raise DataError("a prompt is of a case or of a user, not of both", "leave out --case or --user")
    if user is None:
        library = common.library_of(folder)
        template = library.get(template_id)
        found = find_case(template, library, case)
        inputs, source = inputs_of(found), f"case {found.name}"
    else:
        from genrec.cli.prompt.people import inputs_for

        place, settings = common.opened(workspace or common.DEFAULT_WORKSPACE, folder)
        template = common.library_of(settings.prompts.folder).get(template_id)
        model = model or settings.model.name
        inputs, source = inputs_for(place, settings, user, options.query_of(query, request))
    shown = preview(template, inputs, common.tokenizer_of(model), block)
    if json is not None:
        from genrec.cli.files import write_json

        write_json({"source": source, **shown.as_json()}, json)
        return
    typer.echo(shown.marked if tokens else shown.text)
    common.note(source)
    for dropped in shown.prompt.dropped:
        common.note(f"dropped {dropped.input}: {dropped.count} ({dropped.reason})")
    if tokens:
        _tokens(shown)


def _tokens(shown: Preview) -> None:
    rows: list[tuple[str, int, str]] = [(role, count, "message") for role, count in shown.roles]
    rows += [(name, count, "") for name, count in shown.prompt.tokens.items()]
    budget = shown.template.budget
    rows.append(("cached", shown.cached, "the same while only the candidates change"))
    rows.append(("longest", shown.longest, f"of {budget.context} less {budget.reserve}"))
    if shown.tails:
        rows.append(("longest tail", max(map(len, shown.prompt.suffixes)), "computed for each candidate"))
    for name, count, remark in rows:
        typer.echo(f"{name:<12}{count:>7}  {remark}".rstrip(), err=True)
