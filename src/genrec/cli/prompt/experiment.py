"""`genrec prompt experiment`: start, weigh, stop and roll back experiments; a running server follows at once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from genrec.artifacts.workspace import Workspace
    from genrec.settings import ExperimentSettings, Settings

app = typer.Typer(
    help="Show users different templates or adapters. Holds from the next request on, without a restart.",
    no_args_is_help=True,
)

WorkspaceOption = Annotated[Path, typer.Option("--workspace", "-w", help="Folder of the catalogue.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the experiment.")]
Weights = Annotated[
    list[str],
    typer.Argument(
        metavar="ARM=WEIGHT...",
        help="An arm is TEMPLATE, @ADAPTER or TEMPLATE@ADAPTER, as in: rank/pointwise=3 rank/mine=1.",
    ),
]


@app.command()
def start(
    name: Name,
    weights: Weights,
    share: Annotated[float, typer.Option(min=0, max=1, help="Share of all users that take part, from 0 to 1.")] = 1.0,
    salt: Annotated[str, typer.Option(help="Any word; another one splits the users anew.")] = "",
    workspace: WorkspaceOption = Path("workspace"),
) -> None:
    """Split users between arms (what they are shown) by weight; the first arm is the control."""
    from genrec.errors import SettingsError
    from genrec.experiments import assignment
    from genrec.settings import ExperimentSettings

    place, settings = _opened(workspace)
    arms = _parsed(weights)
    for arm in arms:
        _check(arm, place, settings)
    if not any(arms.values()):
        raise SettingsError("no arm has a weight above 0", "write rank/pointwise=1 rank/listwise=1")
    experiment = ExperimentSettings(arms=arms, share=share, salt=salt)
    assignment.start(place.root, settings, name, experiment)
    _say(name, experiment)


@app.command()
def weights(name: Name, weights: Weights, workspace: WorkspaceOption = Path("workspace")) -> None:
    """Change the weights of arms; the other arms keep theirs, and only users who must move do."""
    from genrec.experiments import assignment

    place, settings = _opened(workspace)
    assignment.reweigh(place.root, settings, name, _parsed(weights))
    _say(name, assignment.known(place.root, settings)[name])


@app.command()
def stop(name: Name, workspace: WorkspaceOption = Path("workspace")) -> None:
    """End an experiment: everybody gets what the settings name."""
    from genrec.experiments import assignment

    place, settings = _opened(workspace)
    assignment.stop(place.root, settings, name)
    typer.echo(f"{name} is stopped")


@app.command()
def rollback(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Name of the experiment; all that run if not given.")
    ] = None,
    workspace: WorkspaceOption = Path("workspace"),
) -> None:
    """Give everybody the control arm (the first one), from the next request on."""
    from genrec.experiments import assignment

    place, settings = _opened(workspace)
    for rolled_back in assignment.roll_back(place.root, settings, name):
        _say(rolled_back, assignment.known(place.root, settings)[rolled_back])


@app.command("list")
def list_experiments(workspace: WorkspaceOption = Path("workspace")) -> None:
    """Show the experiments of a workspace and the shares of their arms."""
    from genrec.experiments import assignment

    place, settings = _opened(workspace)
    for name, experiment in sorted(assignment.known(place.root, settings).items()):
        _say(name, experiment)


def _opened(folder: Path) -> tuple[Workspace, Settings]:
    from genrec.artifacts.workspace import Workspace
    from genrec.settings import Settings

    place = Workspace.open(folder)
    return place, Settings.load(place.settings_file)


def _parsed(texts: list[str]) -> dict[str, float]:
    from genrec.errors import SettingsError

    arms: dict[str, float] = {}
    for text in texts:
        arm, _, weight = text.rpartition("=")
        try:
            arms[arm] = float(weight)
        except ValueError:
            arm = ""
        if not arm or not 0 <= arms[arm] < float("inf"):
            raise SettingsError(f"{text!r} is no arm with its weight", "write rank/pointwise=1 rank/listwise=1")
    if len(arms) < len(texts):
        raise SettingsError("an arm is named twice", "name each once")
    return arms


def _check(arm: str, place: Workspace, settings: Settings) -> None:
    """NotFoundError for an arm whose template does not exist or does not rank, or whose adapter does not exist."""
    from genrec.artifacts import adapters
    from genrec.experiments.assignment import serves
    from genrec.prompting.library import TemplateLibrary

    template, adapter = serves(arm)
    if template is not None:
        chosen = TemplateLibrary(settings.prompts.folder).get(template)
        if chosen.task != "rank":
            from genrec.errors import NotFoundError

            raise NotFoundError(f"template {template} does not rank", "choose a template under rank/")
    if adapter is not None:
        adapters.resolve(place.root, adapter)


def _say(name: str, experiment: ExperimentSettings) -> None:
    from genrec.experiments.assignment import control, shares

    if not experiment.enabled:
        typer.echo(f"{name}: stopped")
        return
    parts = [
        f"{arm} {share:.1%}{' (control)' if arm == control(experiment) else ''}"
        for arm, share in shares(experiment).items()
    ]
    of_all = "" if experiment.share == 1 else f" of the {experiment.share:.1%} of users who take part"
    typer.echo(f"{name}: {', '.join(parts)}{of_all}")
