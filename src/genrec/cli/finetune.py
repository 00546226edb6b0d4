"""`genrec finetune`: a recipe turns the log into an adapter."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, cast, get_args

import typer

from genrec.cli import options

app = typer.Typer()


@app.command()
def finetune(
    recipe: Annotated[str, typer.Argument(help="rank_lora, rank_distill, merge, ...; or a file with main(job).")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[SECTION.KEY=VALUE]...", help="On top of the config.")
    ] = None,
    name: Annotated[str, typer.Option(help="Name of what is made.")] = "rank",
    workspace: options.WorkspaceOption = Path("workspace"),
    config: Annotated[
        Path | None,
        typer.Option(help="YAML file, or the name of one in finetune/configs; a recipe that ships has its own."),
    ] = None,
    held_out: Annotated[
        str, typer.Option(help="Train on the training part of this split: temporal or leave-one-out; none: on all.")
    ] = "temporal",
    minutes: Annotated[float | None, typer.Option(help="Stop training after this time and keep the best.")] = None,
    resume: Annotated[bool, typer.Option(help="Go on where an interrupted run of this name stood.")] = True,
    model: options.ModelOption = None,
    engine: options.EngineOption = None,
    ranker: options.RankerOption = None,
    template: options.TemplateOption = None,
    json: options.JsonOption = None,
) -> None:
    """Tune an adapter on the log by a recipe. The same command goes on with an interrupted run.

    For several processes or GPUs: torchrun --nproc-per-node N -m genrec.cli.main finetune ...
    """
    from genrec.artifacts.adapters import BASE, check_name
    from genrec.cli.console import progress, reporter
    from genrec.errors import SettingsError
    from genrec.training.config import HeldOut
    from genrec.training.job import Job, config_file, load_recipe

    splits = get_args(HeldOut)
    if held_out not in splits:
        raise SettingsError(f"--held-out cannot be {held_out!r}", f"choose one of: {', '.join(splits)}")
    check_name(name)
    # Tuning starts from the model itself, whatever the settings serve: that may be the adapter that is to be made.
    place, settings = options.open_workspace(
        workspace, model=model, engine=engine, adapter=BASE, ranker=ranker, template=template
    )
    main = load_recipe(recipe)
    with progress() as bars:
        job = Job(
            recipe=Path(recipe).stem,
            workspace=place,
            settings=settings,
            name=name,
            file=config_file(recipe, config),
            overrides=(*(overrides or ()), *(() if minutes is None else (f"loop.max_minutes={minutes}",))),
            held_out=cast(HeldOut, held_out),
            resume=resume,
            progress=reporter(bars),
        )
        with job.locked():
            made = main(job)
    if not isinstance(made, Path):
        raise SettingsError(f"the recipe {recipe} gave no folder", "main(job) returns the folder of what it made")
    _show(made, json)


def _show(made: Path, json: str | None) -> None:
    from genrec.artifacts.adapters import Card
    from genrec.cli.console import console
    from genrec.cli.files import write_json
    from genrec.training.card import UNMOVED

    card = Card.load(made)
    if json is not None:
        write_json({"folder": str(made), "card": card.model_dump(mode="json") if card else None}, json)
        return
    console.print(f"[green]made[/] {made}", soft_wrap=True)
    for measure, value in (card.metrics if card else {}).items():
        if isinstance(value, dict):
            low, high = value["interval"]
            console.print(f"  {measure}: {value['value']:.4f} ({low:.4f} to {high:.4f})")
    if card is not None and UNMOVED in card.limits:
        console.print(f"[bold yellow]warning:[/] {UNMOVED}", soft_wrap=True)
