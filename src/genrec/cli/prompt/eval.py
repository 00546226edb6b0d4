"""`genrec prompt eval` and `report`: is a template better, and what did users click."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from genrec.cli.files import writable, write_json, write_text
from genrec.cli.prompt import common
from genrec.cli.runs import keep

if TYPE_CHECKING:
    from genrec.artifacts.workspace import Workspace
    from genrec.data.store import Store
    from genrec.evaluation.suite.context import EvaluationContext
    from genrec.evaluation.suite.schema import Suite
    from genrec.evaluation.templates.sides import Side
    from genrec.settings import Settings

SuiteOption = Annotated[
    str | None,
    typer.Option("--suite", help="Whose data and test users: a .yaml file, or one that ships; own log if none."),
]
WorkspaceOption = Annotated[
    Path | None,
    typer.Option("--workspace", "-w", help="Folder of the catalogue; 'workspace' if none, or what the suite brings."),
]
UsersOption = Annotated[int | None, typer.Option("--users", min=1, help="Ask for so many test users only.")]
FolderOption = Annotated[
    Path | None, typer.Option("--folder", help="Your own templates, for A; B stays as it is served.")
]
ModelOption = Annotated[str | None, typer.Option("--model", help="Model that ranks: known name, folder or hub name.")]
EngineOption = Annotated[
    str | None, typer.Option("--engine", help="What runs the model: vllm, transformers or openai.")
]
AdapterOption = Annotated[str | None, typer.Option("--adapter", help="Tuned adapter of the model; 'base': none.")]
ReportOption = Annotated[
    Path | None,
    typer.Option("--report", metavar="FILE", callback=writable, help="Write the report to this file too (HTML)."),
]


def evaluate(
    template: Annotated[
        str | None, typer.Argument(metavar="A", help="The new template: ID or ID@FOLDER; the live one if not given.")
    ] = None,
    against: Annotated[
        str | None, typer.Option("--against", metavar="B", help="What it is compared with; the live one if not given.")
    ] = None,
    suite: SuiteOption = None,
    workspace: WorkspaceOption = None,
    users: UsersOption = None,
    seeds: Annotated[
        str | None, typer.Option("--seeds", help="To repeat it, such as 0,1,2; the first one of the suite if none.")
    ] = None,
    fused: Annotated[
        bool, typer.Option("--fused", help="Also judge the order as served, with all other scores; takes longer.")
    ] = False,
    folder: FolderOption = None,
    model: ModelOption = None,
    engine: EngineOption = None,
    adapter: AdapterOption = None,
    json: common.JsonOption = None,
    page: ReportOption = None,
) -> None:
    """Is template A better than B? The model ranks the same candidates for the same users with both.

    Every difference comes with its 95 % interval and a verdict. Interrupted runs resume.
    """
    from genrec.evaluation import runs
    from genrec.evaluation.templates.evaluate import evaluate_prompts
    from genrec.llm.loading import load

    flags = {"name": model, "engine": engine, "adapter": adapter}
    with opened(suite, workspace, flags) as run:
        pair = run.sides(template, against, folder)
        found = evaluate_prompts(pair, run.suite, run.context(users), load=load, seeds=_numbers(seeds), fused=fused)
        recorded = runs.record("prompt", found.result, run.place, run.store, run.settings)
    kept = keep(run.place, recorded, found.values)
    if page is not None:
        write_text(kept.read_text("utf-8"), page)
    if json is None:
        _show(recorded)
    else:
        write_json(recorded, json)
    warn(recorded["warnings"])
    _note(f"report: {kept}")


def report(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Name of the experiment; not needed if there is one only.")
    ] = None,
    workspace: common.WorkspaceOption = None,
    seed: Annotated[int, typer.Option(help="Seed of the intervals, which are resampled.")] = 0,
    json: common.JsonOption = None,
    page: ReportOption = None,
) -> None:
    """Compare the arms of an experiment on logged clicks; exit code 1 if its users were not split as they should be."""
    from genrec.artifacts.workspace import Workspace
    from genrec.data.ratings import with_liked
    from genrec.data.store import open_store
    from genrec.experiments.analysis import experiment_report
    from genrec.reports.pages import page as rendered
    from genrec.settings import Settings

    place = Workspace.open(workspace or Path("workspace"))
    with open_store(place) as store:
        settings = with_liked(Settings.load(place.settings_file), store)
        found = experiment_report(store, name, seed, settings.scoring.liked)
    if page is not None:
        write_text(rendered(found), page)
    if json is None:
        _show(found)
    else:
        write_json(found, json)
    warn(found["warnings"])
    if found["split"]["ok"] is False:
        raise typer.Exit(1)


@dataclass(frozen=True, eq=False)
class Run:
    """What a comparison needs; `settings` have those of the suite on top."""

    suite: Suite
    place: Workspace
    store: Store
    settings: Settings
    told: Callable[[str, int, int], None]

    def context(self, limit: int | None) -> EvaluationContext:
        """Log and test users of the suite, `limit` of them."""
        from genrec.evaluation.suite.runner import context_of

        return context_of(self.suite, self.place, self.store, self.settings, limit=limit, progress=self.told)

    def sides(self, new: str | None, old: str | None, folder: Path | None) -> tuple[Side, Side]:
        """See `genrec.evaluation.templates.sides`."""
        from genrec.evaluation.templates.sides import sides

        return sides(self.settings, new, old, folder)


@contextmanager
def opened(suite: str | None, workspace: Path | None, model: Mapping[str, str | None]) -> Iterator[Run]:
    """A suite, or the own log of a workspace, with the settings of `model` on top, and bars for what is done."""
    from genrec.cli.console import progress, reporter
    from genrec.data.ratings import with_liked
    from genrec.data.store import open_store
    from genrec.evaluation.suite import base, schema
    from genrec.evaluation.suite.source import workspace_of
    from genrec.evaluation.templates.reading import OWN_LOG
    from genrec.settings import Settings

    chosen = OWN_LOG if suite is None else schema.load(base.find(suite))
    with progress() as bars:
        told = reporter(bars)
        given = Path("workspace") if workspace is None and suite is None else workspace
        place = workspace_of(chosen, given, lambda stage, share: told(f"import: {stage}", int(100 * share), 100))
        settings = chosen.settings_for(Settings.load(place.settings_file, {"model": dict(model)}))
        with open_store(place, settings) as store:
            settings = with_liked(settings, store)
            try:
                yield Run(chosen, place, store, settings, told)
            except KeyboardInterrupt:
                _note("what was read is kept: the same command goes on where it stopped")
                raise


def _numbers(text: str | None) -> list[int]:
    from genrec.errors import SettingsError

    try:
        return [] if text is None else [int(part) for part in text.split(",")]
    except ValueError:
        raise SettingsError(f"--seeds {text!r} are not whole numbers", "write --seeds 0,1,2") from None


def _show(found: Mapping[str, Any]) -> None:
    """Verdicts, templates and what changes in the order."""
    from rich.table import Table

    from genrec.cli.console import out
    from genrec.evaluation.verdicts import figure, in_words

    out.print(f"{found['description']}, {found['users']:,} users", markup=False)
    table = Table(box=None, pad_edge=False)
    for column in ("metric", "before", "after", "difference and its 95 % interval", "verdict"):
        table.add_column(column, justify="left" if column in ("metric", "verdict") else "right", overflow="fold")
    several = len({row["system"] for row in found["verdicts"]}) > 1
    for row in found["verdicts"]:
        name = f"{row['system']}: {row['metric']}" if several else row["metric"]
        seen = "–"
        if "mean" in row:
            seen = f"{figure(row['mean'], '+')} ({figure(row['low'], '+')} to {figure(row['high'], '+')})"
        table.add_row(name, figure(row["before"]), figure(row["after"]), seen, in_words(row))
    out.print(table)
    for one in found["templates"]:
        shown = f", {one['lists']:,} lists" if "lists" in one else ""
        out.print(f"{one['name']}: {one['id']} version {one['version']} ({one['hash']}){shown}", markup=False)
    if "ranks" in found:
        show_ranks(found["ranks"])


def show_ranks(found: Mapping[str, Any]) -> None:
    """What `genrec.evaluation.templates.evaluate.compare_ranks` found, in lines for the terminal."""
    tau, ends = found["tau"], found["tau_ci"]
    agree = "–" if tau is None else f"{tau:+.3f} ({ends[0]:+.3f} to {ends[1]:+.3f})"
    typer.echo(f"order of slates, {found['users']} users: Kendall's tau {agree}")
    typer.echo(
        f"another item on top: {found['top_1']:.0%} of users; other items in the first {found['k']}: "
        f"{found['top_k']:.0%} of users, {found['replaced']:.0%} of places"
    )
    if found["movers"]:
        typer.echo("titles that move most, by so many places (+ is up):")
    for mover in found["movers"]:
        typer.echo(f"{mover['places']:>+8.1f}  {mover['title'] or mover['item_id']}  ({mover['slates']} slates)")


def warn(warnings: list[str]) -> None:
    """Warnings on stderr."""
    for text in warnings:
        typer.secho(f"warning: {text}", err=True, fg=typer.colors.YELLOW, bold=text.startswith("sample ratio"))


def _note(text: str) -> None:
    typer.secho(text, err=True)
