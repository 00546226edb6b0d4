"""`genrec recommend`: one answer on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from genrec.cli import options
from genrec.cli.console import console, out
from genrec.cli.files import write_json
from genrec.errors import DataError
from genrec.pipeline.request import MOST_ITEMS

app = typer.Typer()


@app.command()
def recommend(
    workspace: options.WorkspaceOption = Path("workspace"),
    user: Annotated[
        str | None, typer.Option(help="User id; without one, say --history or get what is popular.")
    ] = None,
    history: Annotated[str | None, typer.Option(help="Item ids in place of a stored history: 12,7,90")] = None,
    k: Annotated[int, typer.Option("--k", "-k", min=1, max=MOST_ITEMS, help="How many items.")] = 10,
    query: options.QueryOption = None,
    request: options.OldQueryOption = None,
    context: Annotated[list[str] | None, typer.Option(help="A fact, as name=value; may be repeated.")] = None,
    llm: Annotated[bool, typer.Option(help="Read the candidates with the language model.")] = True,
    model: options.ModelOption = None,
    engine: options.EngineOption = None,
    adapter: options.AdapterOption = None,
    ranker: options.RankerOption = None,
    template: options.TemplateOption = None,
    policy: options.PolicyOption = None,
    explain: Annotated[
        Literal["words", "model"] | None,
        typer.Option(help="Say why: 'words' from what is known, or 'model' for what the language model says too."),
    ] = None,
    json: options.JsonOption = None,
) -> None:
    """Recommends items to a user, with P(click) beside each."""
    place, settings = options.open_workspace(
        workspace, model=model, engine=engine, adapter=adapter, ranker=ranker, template=template, policy=policy
    )
    facts = dict(_fact(entry) for entry in context or [])

    from genrec.experiments.recommender import RoutedRecommender
    from genrec.pipeline.recommender import RecommendationRequest
    from genrec.serving.schemas import recommendation_answer

    with console.status("loading the language model" if llm else "opening the workspace"):
        named = any((model, adapter, ranker, template))
        recommender = RoutedRecommender.open(place.root, settings, llm=llm, experiments=not named, warn=False)
    options.warn(recommender.default.missing_weights_warning)
    try:
        given = None if history is None else [part.strip() for part in history.split(",") if part.strip()]
        asked = RecommendationRequest(user, given, k, options.query_of(query, request), facts or None)
        answer, reasons = recommender.default.run(recommender.explained(asked, explain))
    finally:
        recommender.close()
    if json is not None:
        write_json(recommendation_answer(answer, reasons), json)
        return
    from genrec.cli.tables import recommendation_table

    out.print(recommendation_table(answer, reasons.reasons if reasons else {}))


def _fact(entry: str) -> tuple[str, str]:
    name, separator, value = entry.partition("=")
    if not separator or not name.strip():
        raise DataError(f"--context {name!r} is not name=value", 'write it like: --context "time=Friday evening"')
    return name.strip(), value.strip()
