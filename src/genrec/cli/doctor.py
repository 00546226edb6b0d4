"""`genrec doctor`: is everything in place?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from genrec.cli.options import EngineOption, JsonOption, ModelOption

app = typer.Typer()

COLOURS = {"ok": "green", "note": "yellow", "broken": "bold red"}


@app.command()
def doctor(
    workspace: Annotated[Path | None, typer.Option("--workspace", "-w", help="Examine this workspace too.")] = None,
    model: ModelOption = None,
    engine: EngineOption = None,
    json: JsonOption = None,
) -> None:
    """Say what is installed and used, what is missing, and how to fix it. Exit code 1 if something is broken."""
    from dataclasses import asdict

    from rich.markup import escape

    from genrec.artifacts.workspace import Workspace
    from genrec.cli.console import console, out
    from genrec.cli.diagnosis import Finding, examine
    from genrec.cli.files import write_json
    from genrec.errors import SettingsError
    from genrec.settings import Settings

    findings: list[Finding] = []
    flags = {"model": {"name": model, "engine": engine}}
    try:
        settings = Settings.load(Workspace(workspace).settings_file if workspace else None, flags)
    except SettingsError as error:
        findings.append(Finding("settings", "settings", "broken", error.message, error.hint))
        settings = Settings.model_construct()
    with console.status("examining ..."):
        findings += examine(settings, workspace)
    broken = [finding for finding in findings if finding.status == "broken"]
    if json is not None:
        write_json({"ok": not broken, "findings": [asdict(finding) for finding in findings]}, json)
        raise typer.Exit(1 if broken else 0)
    section = ""
    for finding in findings:
        if finding.section != section:
            section = finding.section
            out.print(f"[bold]{section}[/]")
        colour = COLOURS[finding.status]
        out.print(
            f"  [{colour}]{finding.status:<6}[/] {escape(finding.name):<14} {escape(finding.detail)}", soft_wrap=True
        )
        if finding.fix:
            out.print(f"         {'':<14} -> {escape(finding.fix)}", soft_wrap=True)
    out.print(f"[bold red]{len(broken)} broken[/]" if broken else "[bold green]nothing is broken[/]")
    raise typer.Exit(1 if broken else 0)
