"""`genrec data`: import, describe, validate, fetch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genrec.cli.files import writable, write_json, write_text
from genrec.cli.options import JsonOption

if TYPE_CHECKING:
    from genrec.data.importer import ImportReport, Progress
    from genrec.data.sources.base import BadRows, Source

app = typer.Typer(help="Bring a catalogue and a log into a workspace, and look at them.", no_args_is_help=True)
import_app = typer.Typer(help="Import a log and its catalogue, all of it or nothing.", no_args_is_help=True)
validate_app = typer.Typer(
    help="Check a log and its catalogue as an import would, and write nothing. Exit code 1 if something is wrong.",
    no_args_is_help=True,
)
app.add_typer(import_app, name="import")
app.add_typer(validate_app, name="validate")


class Unit(StrEnum):
    """Units of timestamps."""

    S = "s"
    MS = "ms"
    US = "us"
    NS = "ns"


WorkspaceOption = Annotated[Path, typer.Option("--workspace", "-w", help="Folder of the workspace; made if missing.")]
KnownWorkspace = Annotated[
    Path | None, typer.Option("--workspace", "-w", help="A workspace whose items count as known.")
]
Interactions = Annotated[Path, typer.Option(help="Events: user_id, item_id, timestamp[, value, event_type, event_id].")]
Items = Annotated[
    Path | None, typer.Option(help="Items: item_id, title[, sponsored, hidden, expires]; other columns are metadata.")
]
Folder = Annotated[Path, typer.Option("--path", help="Folder of the data set.")]
FolderOrName = Annotated[str, typer.Option("--path", help="Folder of the data set, or a known name such as ml-100k.")]
SourceName = Annotated[str, typer.Argument(help="A format by name, or the dotted path of a class of your own.")]
SourcePath = Annotated[Path, typer.Option("--path", help="Folder or file that the source reads.")]
MaxBadRows = Annotated[int, typer.Option(min=0, help="How many rows that cannot be read may be skipped.")]
MinItemEvents = Annotated[int, typer.Option(min=0, help="Leave out items with fewer events, before users.")]
MinUserEvents = Annotated[int, typer.Option(min=0, help="Leave out users with fewer events.")]
ValueColumn = Annotated[
    str | None,
    typer.Option(help="Column of the events to take as their value: a rating, an amount, or true and false."),
]
TimestampUnit = Annotated[Unit, typer.Option(help="Unit of numeric timestamps.")]


@import_app.command("tables")
def import_tables(
    interactions: Interactions,
    workspace: WorkspaceOption,
    items: Items = None,
    max_bad_rows: MaxBadRows = 0,
    min_item_events: MinItemEvents = 0,
    min_user_events: MinUserEvents = 0,
    timestamp_unit: TimestampUnit = Unit.S,
    value_column: ValueColumn = None,
) -> None:
    """CSV (also .csv.gz), JSON lines or Parquet."""
    _import(
        _tables(interactions, items, timestamp_unit, value_column),
        workspace,
        max_bad_rows,
        min_item_events,
        min_user_events,
    )


@import_app.command("movielens")
def import_movielens(
    path: Folder,
    workspace: WorkspaceOption,
    max_bad_rows: MaxBadRows = 0,
    min_item_events: MinItemEvents = 0,
    min_user_events: MinUserEvents = 0,
) -> None:
    """MovieLens: u.data and u.item, ratings.dat and movies.dat, or ratings.csv and movies.csv."""
    _import(_movielens(path), workspace, max_bad_rows, min_item_events, min_user_events)


@import_app.command("recbole")
def import_recbole(
    path: FolderOrName,
    workspace: WorkspaceOption,
    max_bad_rows: MaxBadRows = 0,
    min_item_events: MinItemEvents = 0,
    min_user_events: MinUserEvents = 0,
    timestamp_unit: TimestampUnit = Unit.S,
) -> None:
    """Atomic files of RecBole: NAME.inter and NAME.item."""
    _import(_recbole(path, timestamp_unit), workspace, max_bad_rows, min_item_events, min_user_events)


@import_app.command("hub")
def import_hub(
    interactions: Interactions,
    workspace: WorkspaceOption,
    items: Items = None,
    max_bad_rows: MaxBadRows = 0,
    min_item_events: MinItemEvents = 0,
    min_user_events: MinUserEvents = 0,
    timestamp_unit: TimestampUnit = Unit.S,
    value_column: ValueColumn = None,
) -> None:
    """Folders that the library datasets opens; columns as in tables."""
    _import(
        _hub(interactions, items, timestamp_unit, value_column),
        workspace,
        max_bad_rows,
        min_item_events,
        min_user_events,
    )


@import_app.command("source")
def import_any_source(
    name: SourceName,
    path: SourcePath,
    workspace: WorkspaceOption,
    items: Items = None,
    max_bad_rows: MaxBadRows = 0,
    min_item_events: MinItemEvents = 0,
    min_user_events: MinUserEvents = 0,
) -> None:
    """Any format, also one of your own: package.module.Class with `of`, `items` and `events`."""
    _import(_source(name, path, items), workspace, max_bad_rows, min_item_events, min_user_events)


@validate_app.command("tables")
def validate_tables(
    interactions: Interactions,
    items: Items = None,
    workspace: KnownWorkspace = None,
    timestamp_unit: TimestampUnit = Unit.S,
    value_column: ValueColumn = None,
) -> None:
    """CSV (also .csv.gz), JSON lines or Parquet."""
    _validate(_tables(interactions, items, timestamp_unit, value_column), workspace)


@validate_app.command("movielens")
def validate_movielens(path: Folder, workspace: KnownWorkspace = None) -> None:
    """MovieLens: u.data and u.item, ratings.dat and movies.dat, or ratings.csv and movies.csv."""
    _validate(_movielens(path), workspace)


@validate_app.command("recbole")
def validate_recbole(
    path: FolderOrName, workspace: KnownWorkspace = None, timestamp_unit: TimestampUnit = Unit.S
) -> None:
    """Atomic files of RecBole: NAME.inter and NAME.item."""
    _validate(_recbole(path, timestamp_unit), workspace)


@validate_app.command("hub")
def validate_hub(
    interactions: Interactions,
    items: Items = None,
    workspace: KnownWorkspace = None,
    timestamp_unit: TimestampUnit = Unit.S,
    value_column: ValueColumn = None,
) -> None:
    """Folders that the library datasets opens; columns as in tables."""
    _validate(_hub(interactions, items, timestamp_unit, value_column), workspace)


@validate_app.command("source")
def validate_any_source(
    name: SourceName, path: SourcePath, items: Items = None, workspace: KnownWorkspace = None
) -> None:
    """Any format, also one of your own: package.module.Class with `of`, `items` and `events`."""
    _validate(_source(name, path, items), workspace)


@app.command()
def describe(
    workspace: Annotated[Path, typer.Option("--workspace", "-w", help="Folder of the workspace.")],
    json: JsonOption = None,
    html: Annotated[Path | None, typer.Option(callback=writable, help="Write a page with plots to this file.")] = None,
) -> None:
    """Show what people look at first: activity, popularity, time span, cold items, values."""
    from rich.markup import escape
    from rich.table import Table

    from genrec.artifacts.workspace import Workspace
    from genrec.cli.console import console, out
    from genrec.data.describe import describe as describe_store
    from genrec.data.describe import describe_html, describe_text
    from genrec.data.store import open_store

    with open_store(Workspace.open(workspace)) as store:
        description = describe_store(store)
    if html is not None:
        write_text(describe_html(description), html)
        console.print(f"wrote {html}", markup=False, soft_wrap=True)
    if json is not None:
        write_json(description, json)
        return
    table = Table(box=None, show_header=False)
    for row in describe_text(description):
        table.add_row(*map(escape, row))
    out.print(table)


@app.command()
def fetch(
    name: Annotated[str | None, typer.Argument(help="A known name; --list shows them.")] = None,
    show: Annotated[bool, typer.Option("--list", help="Show the known names.")] = False,
) -> None:
    """Fetch a data set or model by name into the cache, and print its folder."""
    from genrec.artifacts.models import fetch as fetch_by_name
    from genrec.artifacts.models import known
    from genrec.cli.console import out
    from genrec.errors import NotFoundError

    if show:
        for known_name, description in known().items():
            out.print(f"{known_name:16} {description}", markup=False)
        return
    if name is None:
        raise NotFoundError("which one?", f"give one of the known names: {', '.join(known())}")
    typer.echo(fetch_by_name(name))


def _tables(interactions: Path, items: Path | None, unit: Unit, value_column: str | None) -> Source:
    from genrec.data.sources.tables import Tables

    return Tables(interactions, items, unit.value, value_column)


def _movielens(path: Path) -> Source:
    from genrec.data.sources.movielens import MovieLens

    return MovieLens(path)


def _recbole(path: str, unit: Unit) -> Source:
    from genrec.data.sources.recbole import RecBole

    folder = Path(path)
    if not folder.exists():
        from genrec.artifacts.models import fetch as fetch_by_name
        from genrec.artifacts.models import known

        if path in known():
            folder = fetch_by_name(path)
    return RecBole(folder, unit.value)


def _hub(interactions: Path, items: Path | None, unit: Unit, value_column: str | None) -> Source:
    from genrec.data.sources.hub import Hub

    return Hub(interactions, items, unit.value, value_column)


def _source(name: str, path: Path, items: Path | None) -> Source:
    from genrec.data.sources.base import SOURCES

    found: type[Source] = SOURCES.load(name)
    return found.of(path, items)


def _import(source: Source, root: Path, max_bad_rows: int, min_item_events: int, min_user_events: int) -> None:
    from genrec.artifacts.workspace import Workspace
    from genrec.data.importer import import_source

    workspace = Workspace.create(root)
    with _bar() as progress:
        report = import_source(
            source,
            workspace,
            max_bad_rows=max_bad_rows,
            min_item_events=min_item_events,
            min_user_events=min_user_events,
            progress=progress,
        )
    _print_report(report, root)


def _print_report(report: ImportReport, root: Path) -> None:
    from genrec.cli.console import console, out
    from genrec.data.describe import understood

    out.print(
        f"{report.source}: {report.users:,} users, {report.items:,} items, {report.events:,} events read in"
        f" {report.seconds:.1f} s; {report.new_events:,} new events in {root}",
        markup=False,
        soft_wrap=True,
    )
    notes = [
        (report.dropped_items, f"left out {report.dropped_items:,} items with too few events"),
        (report.dropped_users, f"left out {report.dropped_users:,} users with too few events"),
        (report.dropped_events, f"left out {report.dropped_events:,} events of those, or with an event id read before"),
        (report.bad_rows, f"skipped {report.bad_rows:,} bad rows"),
        (
            report.repeated_events,
            f"{report.repeated_events:,} events are repeated: they equal another in user, item, time, type and value",
        ),
        (report.items_made_from_ids, "there was no file of items: titles are the ids; bring titles with --items FILE"),
    ]
    for applies, text in notes:
        if applies:
            console.print(f"  {text}", markup=False, soft_wrap=True)
    for text in understood(report):
        console.print(f"  {text}", markup=False, soft_wrap=True)
    for row in report.shown_bad_rows:
        console.print(f"    {row.place}: {row.problem}", markup=False, soft_wrap=True)


def _validate(source: Source, root: Path | None) -> None:
    from genrec.artifacts.workspace import Workspace
    from genrec.cli.console import console, out
    from genrec.data.importer import validate_source
    from genrec.errors import DataError

    try:
        with _bar() as progress:
            bad: BadRows = validate_source(source, Workspace.open(root) if root else None, progress)
    except DataError as error:
        console.print(f"{error.message}\n  {error.hint}", markup=False, soft_wrap=True)
        raise typer.Exit(1) from None
    if bad.count:
        console.print(bad.describe(), markup=False, soft_wrap=True)
        raise typer.Exit(1)
    out.print(f"{source.name}: no problems", markup=False)


@contextmanager
def _bar() -> Iterator[Progress]:
    from genrec.cli.console import progress

    with progress() as bar:
        task = bar.add_task("reading", total=100)

        def tell(stage: str, share: float) -> None:
            bar.update(task, description=stage, completed=int(100 * share))

        yield tell
