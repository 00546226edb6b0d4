"""`genrec eval`: what each part of the system is worth, by a suite or by a single measure on a workspace's own log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from genrec.cli import options
from genrec.cli.policy import policy
from genrec.cli.runs import keep, say

if TYPE_CHECKING:
    from rich.table import Table

    from genrec.artifacts.workspace import Workspace
    from genrec.evaluation.runs import Run
    from genrec.evaluation.suite.base import BaseSuite
    from genrec.evaluation.values import UserValues


class SuitesToo(TyperGroup):
    """What is none of the commands is a suite: a file, or the name of one that ships."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        known = not args or args[0].startswith("-") or self.get_command(ctx, args[0]) is not None
        return super().resolve_command(ctx, args if known else ["suite", *args])


app = typer.Typer(cls=SuitesToo, no_args_is_help=True)

SplitOption = Annotated[
    str,
    typer.Option(
        help="What is to be found, never a dislike or low rating. temporal: the latest tenth of the log. "
        "leave-one-out: each user's last event."
    ),
]
UsersOption = Annotated[Path | None, typer.Option(help="Metrics only these users: a file with one user id a line.")]


@app.callback()
def _group() -> None:
    """Measure by a suite (`genrec eval SUITE`: a .yaml file, or the name of one that ships), or one thing at a time."""


@app.command()
def suite(
    name: Annotated[str, typer.Argument(metavar="SUITE", help="A .yaml file, or the name of a suite that ships.")],
    workspace: Annotated[
        Path | None,
        typer.Option("--workspace", "-w", help="Folder of the catalogue; some suites bring data."),
    ] = None,
    users: UsersOption = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Ask for this many test users only.")] = None,
    json: options.JsonOption = None,
) -> None:
    """Run a suite: all its systems, one report, exit code 1 if a gate fails. Interrupted runs resume."""
    from genrec.evaluation.injection import InjectionSuite
    from genrec.evaluation.suite.base import find, read_suite
    from genrec.evaluation.suite.schema import Suite

    _run(read_suite(find(name), Suite, InjectionSuite), workspace, users, limit, json)


@app.command("runs")
def list_runs(workspace: options.WorkspaceOption = Path("workspace"), json: options.JsonOption = None) -> None:
    """List the runs of a workspace, oldest first."""
    from genrec.artifacts.workspace import Workspace
    from genrec.cli.console import out
    from genrec.cli.files import write_json
    from genrec.evaluation.runs import all_runs

    found = all_runs(Workspace.open(workspace))
    if json is None:
        out.print(_run_table(found))
    else:
        write_json([run.summary() for run in found], json)


@app.command()
def compare(
    first: Annotated[str, typer.Argument(metavar="RUN", help="Id of a run (or its beginning or end), or its folder.")],
    second: Annotated[str, typer.Argument(metavar="RUN", help="The run that is compared with it.")],
    workspace: options.WorkspaceOption = Path("workspace"),
    pair: Annotated[
        list[str] | None,
        typer.Option(help="FIRST=SECOND: a system of each run; all that both have by default. May be given again."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Compare runs of different data or splits too.")] = False,
    json: options.JsonOption = None,
) -> None:
    """Compare two runs of suites, paired by user: what the second changes."""
    from genrec.artifacts.workspace import Workspace
    from genrec.cli.console import out
    from genrec.cli.files import write_json
    from genrec.evaluation.runs import find_run
    from genrec.evaluation.suite.compare import compare_runs, parse_pairs

    place = Workspace(workspace)
    found = compare_runs(find_run(place, first), find_run(place, second), parse_pairs(pair), force=force)
    if json is None:
        out.print(_difference_table(found))
    else:
        write_json(found, json)
    say(found["warnings"])


@app.command()
def retrieval(
    workspace: options.WorkspaceOption = Path("workspace"),
    split: SplitOption = "temporal",
    users: UsersOption = None,
    json: options.JsonOption = None,
) -> None:
    """Metrics each retriever and their blend: full ranking over the catalogue, seen items removed."""
    from genrec.evaluation.suite.builtin import retrieval_suite

    _, settings = options.open_workspace(workspace, resolve=False)
    _run(retrieval_suite(settings.retrieval.retrievers, split), workspace, users, None, json)


@app.command()
def click(
    workspace: options.WorkspaceOption = Path("workspace"),
    split: SplitOption = "temporal",
    users: UsersOption = None,
    json: options.JsonOption = None,
) -> None:
    """Metrics P(click) on held-out events, beside smoothed rates of item and user."""
    from genrec.cli.console import progress, reporter
    from genrec.data.store import open_store
    from genrec.evaluation import runs
    from genrec.evaluation.clicks import evaluate_clicks
    from genrec.evaluation.protocol import read_users

    place, settings = options.open_workspace(workspace)
    given = None if users is None else read_users(users)
    with open_store(place, settings) as store, progress() as bars:
        found = evaluate_clicks(
            store, settings, split, given, cache_folder=place.root / "cache", progress=reporter(bars)
        )
        recorded = runs.record("click", found, place, store, settings)
    _finish(place, recorded, None, json)


@app.command()
def rank(
    workspace: options.WorkspaceOption = Path("workspace"),
    split: SplitOption = "temporal",
    users: UsersOption = None,
    limit: Annotated[int, typer.Option(min=1, help="Ask for this many test users, drawn with --seed.")] = 200,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the sample of test users.")] = 0,
    model: options.ModelOption = None,
    engine: options.EngineOption = None,
    ranker: options.RankerOption = None,
    template: options.TemplateOption = None,
    adapter: options.AdapterOption = None,
    json: options.JsonOption = None,
) -> None:
    """Metrics the language model's order, and all parts fused, against the retriever. Interrupted runs resume."""
    from genrec.evaluation.suite.builtin import rank_suite

    served = {"model": model, "engine": engine, "ranker": ranker, "template": template, "adapter": adapter}
    options.open_workspace(workspace, resolve=False)
    _run(rank_suite(split, limit, seed, served), workspace, users, None, json)


app.command()(policy)


def _run(suite: BaseSuite, folder: Path | None, users: Path | None, limit: int | None, json: str | None) -> None:
    """Runs a suite, writes its record and shows what it found; exit code 1 if a gate fails."""
    from genrec.cli.console import console, out, progress, reporter
    from genrec.data.ratings import with_liked
    from genrec.data.store import open_store
    from genrec.evaluation import injection, runs
    from genrec.evaluation.protocol import read_users
    from genrec.evaluation.suite import runner
    from genrec.evaluation.suite.source import workspace_of
    from genrec.llm.loading import load
    from genrec.settings import Settings

    given = None if users is None else read_users(users)
    with progress() as bars:
        told = reporter(bars)
        place = workspace_of(suite, folder, lambda stage, share: told(f"import: {stage}", int(100 * share), 100))
        settings = Settings.load(place.settings_file)
        with open_store(place, settings) as store:
            settings = with_liked(settings, store)
            run: Any = injection.run_injection if isinstance(suite, injection.InjectionSuite) else runner.run_suite
            found = run(suite, place, store, settings, load=load, users=given, limit=limit, progress=told)
            recorded = runs.record(suite.name, found.result, place, store, suite.settings_for(settings))
    _finish(place, recorded, found.values, json)
    if recorded["gates"]:
        (out if json is None else console).print(_gate_table(recorded["gates"]))
    if not found.passed:
        raise typer.Exit(1)


def _finish(place: Workspace, recorded: dict[str, Any], values: UserValues | None, json: str | None) -> None:
    """Keeps what was found, shows it, and says where it lies."""
    from genrec.cli.files import write_json

    page = keep(place, recorded, values)
    if json is None:
        _show(recorded)
    else:
        write_json(recorded, json)
    say(recorded["warnings"], page)


def _show(recorded: dict[str, Any]) -> None:
    from rich.table import Table

    from genrec.cli.console import out
    from genrec.evaluation.tables import best

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


def _gate_table(verdicts: Sequence[Mapping[str, Any]]) -> Table:
    from rich.table import Table

    table = Table(title="gates", title_justify="left")
    for column in ("gate", "found", ""):
        table.add_column(column, overflow="fold")
    for one in verdicts:
        table.add_row(one["gate"], one["found"], "[green]passed[/]" if one["passed"] else "[bold red]FAILED[/]")
    return table


def _run_table(found: Sequence[Run]) -> Table:
    from rich.table import Table

    table = Table()
    # The id has the time (UTC) and the suite; the narrowest terminal must show it whole, to be copied.
    for column in ("run", "users", "best", "gates"):
        table.add_column(column, justify="right" if column == "users" else "left", no_wrap=column == "run")
    for run in found:
        row = run.summary()
        passed = {True: "[green]passed[/]", False: "[bold red]failed[/]", None: ""}[row["passed"]]
        table.add_row(row["id"], str(row["users"] or ""), row["headline"], passed)
    return table


def _difference_table(found: Mapping[str, Any]) -> Table:
    from rich.table import Table

    first, second = found["runs"]
    table = Table(title=f"{second} against {first}, {found['users']} users of both", title_justify="left")
    for column in ("metric", "system", "before", "after", "difference", "95 % interval", "p (Holm)"):
        table.add_column(column, justify="left" if column in ("metric", "system") else "right")
    for row in found["comparisons"]:
        system = row["system"] if row["system"] == row["baseline"] else f"{row['system']} against {row['baseline']}"
        means = (f"{row['before']:.4f}", f"{row['after']:.4f}", f"{row['mean']:+.4f}")
        table.add_row(row["metric"], system, *means, f"{row['low']:+.4f} to {row['high']:+.4f}", f"{row['p_holm']:.3f}")
    return table


def _cell(row: dict[str, Any], column: str, best: float | None) -> str:
    value, interval = row.get(column), row.get(f"{column}_ci")
    if value is None:
        return "–"
    text = f"{value:.4f}"
    styled = f"[bold]{text}[/]" if value == best else text
    return styled if interval is None else f"{styled}\n[dim]{interval[0]:.4f} to {interval[1]:.4f}[/]"
