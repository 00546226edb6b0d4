"""`genrec prompt list`."""

from __future__ import annotations

import json as jsonlib
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from genrec.cli.files import write_json
from genrec.cli.prompt import common

if TYPE_CHECKING:
    from genrec.artifacts.workspace import Workspace
    from genrec.cli.prompt.costs import Costs
    from genrec.prompting.library import TemplateLibrary
    from genrec.prompting.template import Template
    from genrec.settings import Settings


def list_templates(
    workspace: common.WorkspaceOption = None,
    json: common.JsonOption = None,
    model: common.ModelOption = None,
    folder: common.FolderOption = None,
) -> None:
    """Show every template: what it is, how many tokens it takes, and what its last evaluation found.

    Tokens are those of a median user; without a workspace, of the first case, and nothing is known of evaluations.
    A template that cannot be read is named with its mistake; exit code 1 if there is one.
    """
    place, settings = None, None
    if workspace is not None or (common.DEFAULT_WORKSPACE / "genrec.db").is_file():
        place, settings = common.opened(workspace or common.DEFAULT_WORKSPACE, folder)
        folder, model = settings.prompts.folder, model or settings.model.name
    library = common.library_of(folder)
    costs, of_whom = _costs(library, common.fetched_folder(model), place, settings)
    live = {} if place is None or settings is None else live_templates(place, settings)
    found = {} if place is None else last_evaluations(place)
    rows = []
    for template_id in library.ids():
        facts = _facts(template_id, library, costs)
        facts["labels"] += live.get(template_id, [])
        rows.append({**facts, "evaluation": found.get(template_id)})
    if costs is not None:
        costs.keep()
    if json is None:
        _print(rows, of_whom)
    else:
        write_json(rows, json)
    broken = [row["id"] for row in rows if row["problem"]]
    if broken:
        command = ["genrec", "prompt", "lint", *broken, *(["--folder", str(folder)] if folder else [])]
        common.note(f"{len(broken)} of {len(rows)} cannot be read; this says more: {shlex.join(command)}")
        raise typer.Exit(1)


def _facts(template_id: str, library: TemplateLibrary, costs: Costs | None) -> dict[str, Any]:
    """What a template says of itself; of one that cannot be read, only what is wrong with it."""
    from genrec.errors import GenrecError

    facts = dict.fromkeys(("id", "version", "hash", "task", "output", "language", "summary", "tokens", "problem"))
    try:
        template = library.get(template_id)
    except GenrecError as error:
        problem = error.message.splitlines()[0]
        for folder in library.folders:
            problem = problem.replace(f"{folder}/", "")
        return {**facts, "id": template_id, "labels": ["broken"], "problem": problem}
    return {
        **facts,
        "id": template.id,
        "version": template.version,
        "hash": template.hash,
        "labels": labels(template, library),
        "task": template.task,
        "output": template.output.kind,
        "language": template.language,
        "summary": template.summary,
        "tokens": None if costs is None else costs.of(template),
    }


def labels(template: Template, library: TemplateLibrary) -> list[str]:
    """Where a template comes from: nothing for a shipped one, local, or shadowing a shipped one of the same id."""
    own, shipped = library.root(template), library.folders[-1]
    if own == shipped:
        return []
    return ["shadowing" if (shipped / f"{template.id}.prompt").is_file() else "local"]


def live_templates(workspace: Workspace, settings: Settings) -> dict[str, list[str]]:
    """What is served: the template of the settings (or the ranker's own), and the arms of running experiments."""
    from genrec.experiments import assignment
    from genrec.ranking.loading import template_id

    name = template_id(settings.ranking)
    found = {name: ["live"]}
    for experiment in assignment.known(workspace.root, settings).values():
        for arm, share in assignment.shares(experiment).items() if experiment.enabled else ():
            served = assignment.serves(arm)[0] or name
            found.setdefault(served, []).append(f"arm {share:.0%}")
    return found


def last_evaluations(workspace: Workspace) -> dict[str, dict[str, Any]]:
    """What the newest run that compared a template says of it, by template id."""
    found: dict[str, dict[str, Any]] = {}
    # Ids of runs begin with their time, so later ones come later.
    for file in sorted(workspace.runs.glob("*/record.json")):
        try:
            record = jsonlib.loads(file.read_text("utf-8"))
        except (OSError, ValueError):
            continue
        prompt = record.get("prompt") if isinstance(record, dict) else None
        if isinstance(prompt, dict) and isinstance(prompt.get("id"), str):
            found[prompt["id"]] = {"run": file.parent.name, "created": record.get("created", ""), **prompt}
    return found


def _costs(
    library: TemplateLibrary, model: Path | None, workspace: Workspace | None, settings: Settings | None
) -> tuple[Costs | None, str]:
    """Counts for a median user where there is one, and whose they are in words; None without a tokenizer."""
    from genrec.cli.prompt.costs import Costs

    if model is None:
        return None, "nobody, as the tokenizer is not here: genrec data fetch, or --model FOLDER"
    if workspace is not None and settings is not None:
        from genrec.cli.prompt.people import median_user, popular_inputs

        user = median_user(workspace)
        if user is not None:
            inputs = popular_inputs(workspace, settings, user)
            sizes = f"{len(inputs.history.entries)} events and {len(inputs.candidates.items)} candidates"
            return Costs(library, model, inputs), f"a median user with {sizes}"
    return Costs(library, model), "the first case"


def _print(rows: list[dict[str, Any]], of_whom: str) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 1))
    for name in ("id", "version", "label", "task", "language", "tokens"):
        table.add_column(name, no_wrap=True)
    table.add_column("evaluation", overflow="fold", min_width=10)
    for row in rows:
        label = " ".join(filter(None, [(row["hash"] or "")[:8], *row["labels"]]))
        version, task, language = (str(row[name] or "-") for name in ("version", "task", "language"))
        said = row["problem"] or _evaluation(row["evaluation"], row["hash"])
        table.add_row(row["id"], version, label, task, language, _tokens(row["tokens"]), said)
    # A pipe has no width; its reader wants whole lines.
    width = None if sys.stdout.isatty() else 240
    Console(highlight=False, markup=False, emoji=False, width=width).print(table)
    common.note(f"tokens: of {of_whom}; a + b: read once, and again for each candidate")


def _tokens(tokens: Mapping[str, int] | None) -> str:
    if tokens is None:
        return "-"
    if not tokens["tails"]:
        return str(tokens["prefix"])
    return f"{tokens['prefix']} + {tokens['tails'] / tokens['prompts']:.0f}"


def _evaluation(found: Mapping[str, Any] | None, current: str) -> str:
    """Metric with its interval, against what, when; and whether it was of another text than the present one."""
    if found is None:
        return "-"
    against = found.get("against") or {}
    words = [str(found.get("metric") or "")]
    if isinstance(found.get("after"), int | float):
        words.append(f"{found['after']:.4f}")
    if all(isinstance(found.get(name), int | float) for name in ("mean", "low", "high")):
        words.append(f"{found['mean']:+.4f} [{found['low']:+.4f}, {found['high']:+.4f}]")
    if against.get("id"):
        words.append(f"against {against['id']}@{against.get('version', '?')}")
    words.append(str(found["created"])[:10])
    if found.get("hash") != current:
        words.append("(another text)")
    return " ".join(word for word in words if word)
