"""`genrec fit`: retrievers, click scorer and fusion, on the workspace's log."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genrec.cli import options

if TYPE_CHECKING:
    from genrec.data.interactions import FloatArray
    from genrec.domain import Candidates, History
    from genrec.settings import Settings

app = typer.Typer()


@app.command()
def fit(
    workspace: options.WorkspaceOption = Path("workspace"),
    tune: Annotated[bool, typer.Option(help="Choose hyper-parameters and weights on validation.")] = True,
    llm_slates: Annotated[
        int,
        typer.Option(min=0, help="Validation slates that the language model reads to learn its weight; 0 for none."),
    ] = 0,
    model: options.ModelOption = None,
    engine: options.EngineOption = None,
    ranker: options.RankerOption = None,
    template: options.TemplateOption = None,
    json: options.JsonOption = None,
) -> None:
    """Fit retrieval, click probabilities and fusion on the log, and make them live all at once."""
    from genrec.cli.console import console, progress, reporter, write_json
    from genrec.fit import fit_workspace

    place, settings = options.open_workspace(workspace, model=model, engine=engine, ranker=ranker, template=template)
    with progress() as bars:
        told = reporter(bars)
        record = fit_workspace(
            place,
            settings,
            tune=tune,
            progress=told,
            llm_scores=(lambda slates: read_some(slates, llm_slates, settings, told)) if llm_slates else None,
        )
    place.prune()
    if json is not None:
        write_json(record, json)
        return
    validation = record["clicks"].get("validation")
    weights = ", ".join(f"{name} {weight:g}" for name, weight in record["retrieval"]["weights"].items())
    console.print(f"[green]fitted[/] on {record['events']:,} events in {record['seconds']:.0f} s")
    console.print(f"  retrieval: {weights}")
    if validation:
        console.print(
            f"  P(click) on validation: AUC {validation['auc']:.3f}, log-loss {validation['log_loss']:.3f}, "
            f"calibration error {validation['calibration_error']:.3f}"
        )
    console.print(f"  labels: {record['clicks']['labels_are']}")
    fusion = record["fusion"]
    console.print(f"  weight of the language model: {fusion['with_llm']['llm']:.3f} from {fusion['llm_slates']} slates")


async def read_some(
    slates: Sequence[tuple[History, Candidates]],
    count: int,
    settings: Settings,
    progress: Callable[[str, int, int], None],
) -> list[FloatArray | None]:
    """The first `count` slates as the ranker of the settings reads them; None for the others."""
    from genrec.llm.loading import load
    from genrec.pipeline import ranker_for, read_slates

    llm = await load(settings.model)
    try:
        read = await read_slates(ranker_for(llm, settings), slates[:count], settings.ranking.seed, progress)
    finally:
        await llm.close()
    return read + [None] * (len(slates) - len(read))
