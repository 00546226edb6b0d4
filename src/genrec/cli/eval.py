"""`genrec eval`: what each part of the system is worth, on a workspace's own log."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from genrec.cli import options
from genrec.cli.policy import policy

if TYPE_CHECKING:
    from genrec.data.sqlite import SqliteStore
    from genrec.settings import Settings
    from genrec.workspace import Workspace

app = typer.Typer(no_args_is_help=True, help="Measure retrieval, P(click) and ranking on the log.")

SplitOption = Annotated[
    str,
    typer.Option(help="temporal: the latest tenth of the log is to be found. leave-one-out: each user's last event."),
]
UsersOption = Annotated[Path | None, typer.Option(help="Judge only these users: a file with one user id a line.")]


@app.callback()
def _group() -> None:
    """Measure retrieval, P(click) and ranking on the log."""


@app.command()
def retrieval(
    workspace: options.WorkspaceOption = Path("workspace"),
    split: SplitOption = "temporal",
    users: UsersOption = None,
    json: options.JsonOption = None,
) -> None:
    """Judge each retriever and their blend: full ranking over the catalogue, seen items removed."""
    with _run("retrieval", workspace, users, json) as run:
        from genrec.evaluation.retrieval import evaluate_retrieval

        run.result = evaluate_retrieval(
            run.store, run.settings, split, run.users, cache_folder=run.workspace.root / "cache", progress=run.progress
        )


@app.command()
def click(
    workspace: options.WorkspaceOption = Path("workspace"),
    split: SplitOption = "temporal",
    users: UsersOption = None,
    json: options.JsonOption = None,
) -> None:
    """Judge P(click) on held-out events, beside smoothed rates of item and user."""
    with _run("click", workspace, users, json) as run:
        from genrec.evaluation.clicks import evaluate_clicks

        run.result = evaluate_clicks(
            run.store, run.settings, split, run.users, cache_folder=run.workspace.root / "cache", progress=run.progress
        )


@app.command()
def rank(
    workspace: options.WorkspaceOption = Path("workspace"),
    split: SplitOption = "temporal",
    users: UsersOption = None,
    limit: Annotated[int, typer.Option(min=1, help="Ask for this many test users, drawn with --seed.")] = 200,
    seed: Annotated[int, typer.Option(help="Seed of the sample of test users.")] = 0,
    model: options.ModelOption = None,
    engine: options.EngineOption = None,
    ranker: options.RankerOption = None,
    template: options.TemplateOption = None,
    json: options.JsonOption = None,
) -> None:
    """Judge the language model's order, and all parts fused, against the retriever. Interrupted runs resume."""
    flags = {"model": model, "engine": engine, "ranker": ranker, "template": template}
    with _run("rank", workspace, users, json, **flags) as run:
        from genrec.evaluation.identity import identity
        from genrec.evaluation.rank import evaluate_rank
        from genrec.llm.loading import load

        run.result = evaluate_rank(
            run.store,
            run.settings,
            split,
            run.users,
            load=lambda: load(run.settings.model),
            fingerprint=identity(run.settings.model),
            cache_folder=run.workspace.root / "cache",
            limit=limit,
            seed=seed,
            progress=run.progress,
        )


app.command()(policy)


@dataclass
class _Run:
    """What a command needs, and where it puts its result."""

    workspace: Workspace
    store: SqliteStore
    settings: Settings
    users: list[str] | None
    progress: Callable[[str, int, int], None]
    result: dict[str, Any]


@contextmanager
def _run(kind: str, folder: Path, users: Path | None, json: str | None, **flags: Any) -> Iterator[_Run]:
    """Opens what an evaluation needs; afterwards writes the record and shows the result."""
    from genrec.cli.console import progress, reporter, write_json
    from genrec.data.sqlite import SqliteStore
    from genrec.evaluation import runs
    from genrec.evaluation.protocol import read_users

    workspace, settings = options.open_workspace(folder, **flags)
    chosen = None if users is None else read_users(users)
    with SqliteStore(workspace.database) as store:
        with progress() as bars:
            run = _Run(workspace, store, settings, chosen, reporter(bars), {})
            yield run
        recorded = runs.record(kind, run.result, workspace, store, settings)
    place = runs.write(workspace, recorded)
    if json is None:
        _show(recorded)
    else:
        write_json(recorded, json)
    _say(recorded["warnings"], place)


def _show(recorded: dict[str, Any]) -> None:
    from rich.table import Table

    from genrec.cli.console import out
    from genrec.evaluation.report import best

    parts = {"all test users": recorded, **recorded.get("subsets", {})}
    for title, part in parts.items():
        systems = part["systems"]
        shown = [column for column in recorded["headline"] if any(column in row for row in systems.values())]
        table = Table(title=f"{recorded['kind']}, {title.replace('_', ' ')} ({part['users']})", title_justify="left")
        table.add_column("system")
        for column in shown:
            table.add_column(column, justify="right")
        for name, row in systems.items():
            table.add_row(name, *(_cell(row, column, best(systems, column)) for column in shown))
        out.print(table)


def _cell(row: dict[str, Any], column: str, best: float | None) -> str:
    value, interval = row.get(column), row.get(f"{column}_ci")
    if value is None:
        return "–"
    text = f"{value:.4f}"
    styled = f"[bold]{text}[/]" if value == best else text
    return styled if interval is None else f"{styled}\n[dim]{interval[0]:.4f} to {interval[1]:.4f}[/]"


def _say(warnings: list[str], place: Path) -> None:
    from rich.markup import escape

    from genrec.cli.console import console

    for warning in warnings:
        console.print(f"[bold yellow]warning:[/] {escape(warning)}", soft_wrap=True)
    console.print(f"report: {escape(str(place / 'report.html'))}", soft_wrap=True)
