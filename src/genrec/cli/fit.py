"""`genrec fit`: retrievers, click scorer and fusion, on the workspace's log."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from genrec.cli import options

app = typer.Typer()


@app.command()
def fit(
    workspace: options.WorkspaceOption = Path("workspace"),
    tune: Annotated[bool, typer.Option(help="Choose hyper-parameters and weights on validation.")] = True,
    llm_slates: Annotated[
        int | None, typer.Option(min=0, help="Validation slates that the language model reads to learn its weight.")
    ] = None,
    model: options.ModelOption = None,
    engine: options.EngineOption = None,
    ranker: options.RankerOption = None,
    template: options.TemplateOption = None,
    adapter: options.AdapterOption = None,
    json: options.JsonOption = None,
) -> None:
    """Fit retrieval, click probabilities and fusion on the log, and make them live all at once."""
    from genrec.cli.console import console, progress, reporter
    from genrec.cli.files import write_json
    from genrec.fit import fit_workspace
    from genrec.reading import slate_reader

    place, settings = options.open_workspace(
        workspace,
        model=model,
        engine=engine,
        ranker=ranker,
        template=template,
        adapter=adapter,
        checks={"llm_slates": llm_slates},
    )
    with progress() as bars:
        told = reporter(bars)
        record = fit_workspace(place, settings, tune=tune, progress=told, llm_scores=slate_reader(settings, told))
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
    llm = fusion["llm"]
    console.print(f"  second stage: {fusion['second_stage']}, learned on {fusion['pools']:,} pools")
    console.print(
        f"  weight of the language model: {llm['long']:.3f}, short histories {llm['short']:.3f}, "
        f"requests in words {llm['request']:.3f}, from {llm['slates']} slates"
    )
