"""`genrec eval policy`: the value of policies that were never served, from logged lists with propensities."""

from __future__ import annotations

import time
import uuid
from enum import StrEnum
from json import loads as load_json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from genrec.cli import options

if TYPE_CHECKING:
    from genrec.artifacts.workspace import Workspace


class Data(StrEnum):
    """Logs that can be had by name."""

    OPEN_BANDIT = "open-bandit"


def policy(
    workspace: options.WorkspaceOption = Path("workspace"),
    data: Annotated[
        Data | None, typer.Option(help="In place of the workspace's log: open-bandit, fetched on first use.")
    ] = None,
    campaign: Annotated[str, typer.Option(help="Of open-bandit: all, men or women.")] = "all",
    name: Annotated[
        list[str] | None,
        typer.Option("--name", help="Policy: 'retriever', 'fused without llm', or one retriever. Can be repeated."),
    ] = None,
    lists: Annotated[
        list[Path] | None, typer.Option(help="Lists of another tool: TSV with user, item, rank. Can be repeated.")
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
    from genrec.cli.files import write_json
    from genrec.errors import SettingsError
    from genrec.evaluation import runs

    if data is None and campaign != "all":
        raise SettingsError("--campaign is of open-bandit", f"leave it out, or give --data {Data.OPEN_BANDIT.value}")
    if data is None:
        place, recorded = _workspace(workspace, name, lists or [], split, clip, users, seed)
    elif name or lists or users or split != "temporal":
        raise SettingsError(
            "--name, --lists, --split and --users are of the workspace's log", f"leave them out, or --data {data.value}"
        )
    else:
        place, recorded = _open_bandit(workspace, campaign, clip, seed)
    folder = runs.write(place, recorded)
    if json is None:
        _show(recorded)
    else:
        write_json(recorded, json)
    _say(recorded["warnings"], folder)


def _workspace(
    folder: Path,
    names: list[str] | None,
    lists: list[Path],
    split: str,
    clip: float | None,
    users: Path | None,
    seed: int,
) -> tuple[Workspace, dict[str, Any]]:
    from genrec.cli.console import progress, reporter
    from genrec.data.store import open_store
    from genrec.evaluation import runs
    from genrec.evaluation.offpolicy.evaluate import evaluate_policies
    from genrec.evaluation.offpolicy.policies import SYSTEMS
    from genrec.evaluation.protocol import read_users
    from genrec.evaluation.suite.external import read_lists

    workspace, settings = options.open_workspace(folder)
    with open_store(workspace, settings) as store:
        with progress() as bars:
            result = evaluate_policies(
                store,
                settings,
                split,
                users=None if users is None else read_users(users),
                policies=names or ([] if lists else list(SYSTEMS)),
                lists=[read_lists(file) for file in lists],
                clip=clip,
                seed=seed,
                cache_folder=workspace.root / "cache",
                progress=reporter(bars),
            )
        return workspace, runs.record("policy", result, workspace, store, settings)


def _open_bandit(folder: Path, campaign: str, clip: float | None, seed: int) -> tuple[Workspace, dict[str, Any]]:
    """Needs nothing of the workspace but the place for its run."""
    from genrec.artifacts import downloads
    from genrec.artifacts.models import fetch
    from genrec.artifacts.workspace import Workspace
    from genrec.evaluation import runs
    from genrec.evaluation.offpolicy.open_bandit_check import evaluate_open_bandit

    logs = fetch("open-bandit")
    result = evaluate_open_bandit(logs, campaign, clip=clip, seed=seed)
    created = time.gmtime()
    return Workspace.create(folder), {
        "id": f"{time.strftime('%Y%m%dT%H%M%S', created)}-policy-{uuid.uuid4().hex[:6]}",
        "kind": "policy",
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", created),
        **result,
        "fingerprint": load_json((logs / downloads.MARKER).read_text("utf-8"))["source"],
        "versions": runs.versions(),
        "git_revision": runs.git_revision(),
    }


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


def _say(warnings: list[str], folder: Path) -> None:
    from rich.markup import escape

    from genrec.cli.console import console

    for warning in warnings:
        console.print(f"[bold yellow]warning:[/] {escape(warning)}", soft_wrap=True)
    console.print(f"report: {escape(str(folder / 'report.html'))}", soft_wrap=True)
