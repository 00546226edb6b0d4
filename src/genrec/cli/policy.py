"""`genrec eval policy`: the value of policies that were never served, from logged lists with propensities."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from genrec.cli import options
from genrec.cli.runs import keep, say


def policy(
    workspace: options.WorkspaceOption = Path("workspace"),
    name: Annotated[
        list[str] | None,
        typer.Option("--name", help="Policy: 'retriever', 'fused without llm', or one retriever. Can be repeated."),
    ] = None,
    lists: Annotated[
        list[Path] | None, typer.Option(help="Lists of another tool: TSV with user, item, rank. Can be repeated.")
    ] = None,
    estimator: Annotated[
        list[str] | None,
        typer.Option(help="An estimator, or the dotted path of your own; all that fit the log. Can be repeated."),
    ] = None,
    split: Annotated[
        str, typer.Option(help="On which the retrievers choose, before the first list: temporal or leave-one-out.")
    ] = "temporal",
    clip: Annotated[float | None, typer.Option(help="Cut importance weights at this size.")] = None,
    users: Annotated[Path | None, typer.Option(help="Only lists of these users: a file with one id a line.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of resampling and folds.")] = 0,
    json: options.JsonOption = None,
) -> None:
    """Metrics policies on what was shown under another one (off-policy), from exposures with propensities."""
    from genrec.cli.console import progress, reporter
    from genrec.cli.files import write_json
    from genrec.data.store import open_store
    from genrec.evaluation import runs
    from genrec.evaluation.offpolicy.evaluate import evaluate_policies
    from genrec.evaluation.offpolicy.policies import SYSTEMS
    from genrec.evaluation.protocol import read_users
    from genrec.evaluation.suite.external import read_lists

    place, settings = options.open_workspace(workspace)
    with open_store(place, settings) as store:
        with progress() as bars:
            result = evaluate_policies(
                store,
                settings,
                split,
                users=None if users is None else read_users(users),
                policies=name or ([] if lists else list(SYSTEMS)),
                lists=[read_lists(file) for file in lists or ()],
                estimators=estimator or (),
                clip=clip,
                seed=seed,
                cache_folder=place.root / "cache",
                progress=reporter(bars),
            )
        recorded = runs.record("policy", result, place, store, settings)
    page = keep(place, recorded)
    if json is None:
        _show(recorded)
    else:
        write_json(recorded, json)
    say(recorded["warnings"], page)


def _show(recorded: dict[str, Any]) -> None:
    from rich.table import Table

    from genrec.cli.console import out

    table = Table("policy", "estimator", title="expected clicks on a list", title_justify="left")
    table.add_column("value", justify="right")
    table.add_column("95 % interval", justify="right")
    for name, row in recorded["systems"].items():
        for estimator in recorded["headline"]:
            value, interval = row[estimator], row[f"{estimator}_ci"]
            shown = ("–", "") if value is None else (f"{value:.5f}", f"{interval[0]:.5f} to {interval[1]:.5f}")
            table.add_row(name if estimator == recorded["headline"][0] else "", estimator, *shown)
        table.add_section()
    out.print(table)
