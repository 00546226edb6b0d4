"""A small catalogue whose recommender explains itself, with a scripted model."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from genrec.data.sqlite.store import SqliteStore
from genrec.domain import Event, Item
from genrec.llm.scripted import ScriptedModel
from genrec.pipeline.recommender import Recommender
from genrec.prompting.library import TemplateLibrary
from genrec.prompting.tokenizer import load_tokenizer
from genrec.ranking.loading import load_ranker
from genrec.retrieval.tuning import fit_hybrid
from genrec.settings import Settings
from scoring_factories import retrieval_scorer

TITLES = ["Alien", "Heat", "Fargo", "Toy Story", "Blade Runner", "Casino", "Gattaca", "千与千寻", "Se7en", "Amadeus"]


def small_recommender(
    folder: Path,
    tokenizer: Path,
    model: ScriptedModel | None,
    titles: Sequence[str] = TITLES,
    **sections: dict[str, Any],
) -> Recommender:
    """Ten titles, and twelve users who watch five of them in their order; user u0 watched the first five."""
    model_folder = folder / "model"
    if not model_folder.is_dir():
        shutil.copytree(tokenizer, model_folder)
        (model_folder / "config.json").write_text("{}")
    store = SqliteStore(folder / "genrec.db", create=True)
    store.put_items(Item(f"i{n}", title, {"genres": ("Drama",)}) for n, title in enumerate(titles))
    store.append(
        [
            Event(
                f"u{user}", f"i{(user + step) % len(titles)}", 100.0 * step + user, "watch", event_id=f"{user}-{step}"
            )
            for user in range(12)
            for step in range(5)
        ]
    )
    settings = Settings.load(
        None,
        {
            "model": {"name": str(model_folder)},
            "retrieval": {"retrievers": ("covisit", "popular"), "candidates": 6, "pool": 8},
            "llm": {"read": "always"},
            **sections,
        },
    )
    ranker = None
    if model is not None:
        ranker = load_ranker(settings.ranking, model, load_tokenizer(model_folder), TemplateLibrary())
    return Recommender(
        store=store,
        retriever=fit_hybrid(store.interactions(), list(store.all_items()), settings=settings, tune=False),
        ranker=ranker,
        scorer=retrieval_scorer(store, settings),
        settings=settings,
        version="v1",
        model=model,
    )
