"""`genrec prompt`: list, preview and check templates. Loads neither torch nor an engine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from genrec.prompting.library import TemplateLibrary
    from genrec.prompting.lint import Snapshots
    from genrec.prompting.tokenizer import ChatTokenizer

app = typer.Typer(help="List, preview and check prompt templates.", no_args_is_help=True, add_completion=False)

DEFAULT_MODEL = "smollm2-135m"
Folder = Annotated[
    Path | None,
    typer.Option("--folder", envvar="GENREC_PROMPTS__FOLDER", help="Local templates; they go before the shipped ones."),
]
Model = Annotated[str, typer.Option("--model", help="Whose tokenizer and chat template: a known name or a folder.")]
Ids = Annotated[list[str] | None, typer.Argument(help="Template ids; all if none is given.")]


@app.command("list")
def list_templates(folder: Folder = None) -> None:
    """Show id, version, task, output, language and summary of every template."""
    from rich.table import Table

    from genrec.cli.console import out

    table = Table("id", "version", "task", "output", "language", box=None, pad_edge=False)
    table.add_column("summary", overflow="fold")
    for template in _library(folder).list():
        kind = template.output.kind
        table.add_row(template.id, str(template.version), template.task, kind, template.language, template.summary)
    out.print(table)


@app.command()
def render(
    template_id: Annotated[str, typer.Argument(metavar="ID")],
    case: Annotated[str | None, typer.Option("--case", help="Name of a case; the first one if not given.")] = None,
    tokens: Annotated[bool, typer.Option("--tokens", help="Also show who takes how many tokens.")] = False,
    block: Annotated[int, typer.Option("--block", min=1, help="Pad the shared prefix to a multiple of this.")] = 1,
    model: Model = DEFAULT_MODEL,
    folder: Folder = None,
) -> None:
    """Print what the model reads for one case, rendered by the function that serving calls."""
    from genrec.cli.console import console
    from genrec.prompting.cases import find_case, render_case, text_of

    library = _library(folder)
    template = library.get(template_id)
    chosen = find_case(template, library, case)
    tokenizer = _tokenizer(model)
    prompt = render_case(template, chosen, tokenizer, block)
    typer.echo(text_of(prompt, tokenizer))
    for note in prompt.dropped:
        console.print(f"[yellow]dropped[/] {note.input}: {note.count} ({note.reason})")
    if tokens:
        for name, count in prompt.tokens.items():
            console.print(f"{name:<12}{count:>7}")
        longest, tail = max(map(len, prompt.prompts())), max(map(len, prompt.suffixes), default=0)
        console.print(f"{'longest':<12}{longest:>7}  of {template.budget.context} less {template.budget.reserve}")
        if tail:
            console.print(f"{'longest tail':<12}{tail:>7}  computed for each candidate")


@app.command()
def lint(
    ids: Ids = None,
    update: Annotated[bool, typer.Option("--update", help="Accept the rendered text of all cases.")] = False,
    model: Annotated[
        str | None, typer.Option("--model", help="As in render; default: smollm2-135m if fetched.")
    ] = None,
    folder: Folder = None,
) -> None:
    """Check templates: one line `file:line code message (hint)` for each finding; exit code 1 if there is one."""
    from genrec.cli.console import console
    from genrec.prompting.lint import lint as find

    library = _library(folder)
    tokenizer = _tokenizer(model) if model or update or _is_cached(DEFAULT_MODEL) else None
    if tokenizer is None:
        console.print(
            "[yellow]note:[/] cases and snapshots need a tokenizer and were not checked;"
            f" run genrec data fetch {DEFAULT_MODEL}, or name a model folder with --model"
        )
    checked = ids or library.ids()
    snapshots: Snapshots = "update" if update else "check" if model in (None, DEFAULT_MODEL) else "skip"
    findings = [finding for template_id in checked for finding in find(library, template_id, tokenizer, snapshots)]
    for finding in dict.fromkeys(findings):
        typer.echo(str(finding))
    if findings:
        raise typer.Exit(1)
    console.print(f"nothing found in {len(checked)} of {len(library.ids())} templates")


@app.command()
def lock(folder: Folder = None) -> None:
    """Record the behaviour of every template version in prompts.lock; refuses what changed without a new version."""
    from genrec.cli.console import console
    from genrec.prompting.library import LOCK
    from genrec.prompting.lock import write_lock

    library = _library(folder)
    root = library.folders[0]
    templates = [template for template in library.list() if library.root(template) == root]
    write_lock(root, templates)
    console.print(f"locked {len(templates)} in {root / LOCK}", soft_wrap=True)


def _library(folder: Path | None) -> TemplateLibrary:
    from genrec.prompting.library import TemplateLibrary

    return TemplateLibrary(folder)


def _tokenizer(model: str | None) -> ChatTokenizer:
    from genrec.models import resolve
    from genrec.prompting.tokenizer import load_tokenizer

    name = model or DEFAULT_MODEL
    path = Path(name).expanduser()
    return load_tokenizer(path if (path / "tokenizer.json").is_file() else resolve(name))


def _is_cached(name: str) -> bool:
    from genrec.models import cached

    return cached(name) is not None
