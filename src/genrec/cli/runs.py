"""Runs of evaluations on the command line: their record and page are written, and what they found is shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genrec.artifacts.workspace import Workspace
    from genrec.evaluation.values import UserValues


def keep(place: Workspace, recorded: Mapping[str, Any], values: UserValues | None = None) -> Path:
    """Writes the record, the figures of users and the page of a run to the workspace; returns the page."""
    from genrec.cli.files import write_text
    from genrec.evaluation import runs
    from genrec.reports.pages import page

    file = runs.write(place, recorded, values) / "report.html"
    write_text(page(recorded), file)
    return file


def say(warnings: Sequence[str], page: Path | None = None) -> None:
    """Warnings, and where the page lies, on stderr."""
    from rich.markup import escape

    from genrec.cli.console import console

    for warning in warnings:
        console.print(f"[bold yellow]warning:[/] {escape(warning)}", soft_wrap=True)
    if page is not None:
        console.print(f"report: {escape(str(page))}", soft_wrap=True)
