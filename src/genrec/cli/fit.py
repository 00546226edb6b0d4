"""`genrec fit`: retrievers and scoring, on the workspace's log."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Annotated

import typer

from genrec.artifacts.adapters import resolved, with_adapter
from genrec.cli import options
from genrec.errors import SettingsError
from genrec.settings import Settings

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
    adapter: Annotated[
        list[str] | None,
        typer.Option(
            help="Tuned adapter to weigh: NAME, NAME@VERSION or a folder; 'base': the model itself; may be repeated."
        ),
    ] = None,
    json: options.JsonOption = None,
) -> None:
    """Fit retrieval and scoring on the log, and make them live all at once."""
    from genrec.cli.console import console, progress, reporter
    from genrec.cli.files import write_json
    from genrec.fitting.llm_scores import named_llm_rankers
    from genrec.fitting.workspace import fit_workspace
    from genrec.ranking.loading import llm_ranker_key_in

    place, settings = options.open_workspace(
        workspace,
        model=model,
        engine=engine,
        ranker=ranker,
        template=template,
        adapter=adapter[0] if adapter else None,
        llm={"slates": llm_slates},
    )
    others = [resolved(place.root, with_adapter(settings, other)) for other in (adapter or [])[1:]]
    for other in others:
        options.warn_of_mismatch(other)
    if adapter and len({llm_ranker_key_in(of) for of in (settings, *others)}) < len(adapter):
        raise SettingsError("two adapters would be weighed under one name", "name each once, or rename a folder")
    with progress() as bars:
        told = reporter(bars)
        llm_rankers = named_llm_rankers([settings, *others], told)
        record = fit_workspace(place, settings, tune=tune, progress=told, llm_rankers=llm_rankers)
    place.prune()
    if json is not None:
        write_json(record, json)
        return
    scoring = record["scoring"]
    weights = ", ".join(f"{name} {weight:g}" for name, weight in record["retrieval"]["weights"].items())
    console.print(f"[green]fitted[/] on {record['events']:,} events in {record['seconds']:.0f} s")
    console.print(f"  retrieval: {weights}")
    for name, meaning in scoring["says"].items():
        console.print(f"  {name}: {meaning}")
    if scoring["like"]:
        validation = scoring["like"]["validation"]
        console.print(
            f"  p_like on validation: AUC {validation['auc']:.3f}, log-loss {validation['log_loss']:.3f}, "
            f"calibration error {validation['calibration_error']:.3f}"
        )
    console.print(f"  click head: {scoring['click']['head']}, learned on {scoring['click']['pools']:,} pools")
    for weighed in scoring["readers"]:
        weights = weighed["weights"]
        console.print(
            f"  weight of {weighed['adapter'] or 'the language model'}: {weights['long']:.3f}, short histories "
            f"{weights['short']:.3f}, queries in words {weights['query']:.3f}, from {weights['slates']} slates"
        )
    if not scoring["readers"]:
        console.print(f"  no language model was weighed{_why_not(settings)}: none is read unless asked for")


def _why_not(settings: Settings) -> str:
    if not settings.llm.slates:
        return ", as no slates are to be read"
    if importlib.util.find_spec(settings.model.engine) is None:
        return f", as the package {settings.model.engine} is not installed"
    return ", as no validation slate holds what was chosen"
