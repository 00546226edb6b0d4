"""Fact on the way to the model: what is served is what training reads, and nothing where nothing is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from genrec.data.sqlite.store import SqliteStore
from genrec.domain import Candidate, Candidates, Event, History, Item
from genrec.facts.extract import FactExtractor
from genrec.llm.scripted import ScriptedModel
from genrec.pipeline.recommender import RecommendationRequest, Recommender
from genrec.prompting.cases import text_of
from genrec.prompting.library import TemplateLibrary
from genrec.prompting.tokenizer import load_tokenizer
from genrec.ranking.base import RankingTask
from genrec.ranking.loading import load_ranker
from genrec.retrieval.tuning import fit_hybrid
from genrec.settings import Settings
from genrec.training.base import Example
from genrec.training.tokens import tokenise
from scoring_factories import retrieval_scorer

ITEMS = 24


@pytest.fixture
def store(tmp_path: Path) -> SqliteStore:
    """24 items in pairs of one studio; 30 users go through them in order."""
    store = SqliteStore(tmp_path / "genrec.db", create=True)
    store.put_items(Item(f"i{n}", f"Title {n}", {"studio": (f"Studio {n // 2}",)}) for n in range(ITEMS))
    store.append(
        [
            Event(f"u{user}", f"i{(user + step) % ITEMS}", 100.0 * step + user, "watch", float(1 + (user + step) % 5))
            for user in range(30)
            for step in range(9)
        ]
    )
    return store


def recommender(store: SqliteStore, folder: Path, ranker: str, template: str) -> Recommender:
    flags: dict[str, Any] = {"retrieval": {"retrievers": ("covisit", "popular"), "candidates": 6, "pool": 12}}
    settings = Settings.load(None, {**flags, "ranking": {"ranker": ranker, "template": template}})
    log, items = store.interactions(), list(store.all_items())
    model = ScriptedModel(block=16, context=8192)
    return Recommender(
        store=store,
        retriever=fit_hybrid(log, items, settings=settings, tune=False),
        ranker=load_ranker(settings.ranking, model, load_tokenizer(folder), TemplateLibrary()),
        scorer=retrieval_scorer(store, settings),
        settings=settings,
        version="v1",
        model=model,
    )


@pytest.mark.parametrize(
    ("ranker", "template"), [("pointwise", "rank/pointwise.evidence"), ("single_pass", "rank/listwise.evidence.zh")]
)
def test_what_is_served_is_what_training_reads(
    store: SqliteStore, tiny_tokenizer_folder: Path, ranker: str, template: str
) -> None:
    rec = recommender(store, tiny_tokenizer_folder, ranker, template)
    slate = rec.slate(RecommendationRequest(user_id="u3"))
    assert rec.ranker is not None
    prompt = rec.ranker.render(RankingTask(slate.history, slate.candidates))
    tokenizer = load_tokenizer(tiny_tokenizer_folder)
    text = text_of(prompt, tokenizer)
    # u3 did 3 to 11; 9 stood before 12 in the history of many others, and so did 11, which u3 rated low.
    assert ('"Title 9"一起被选' if template.endswith("zh") else 'chosen with "Title 9"') in text

    log, items = store.interactions(), list(store.all_items())
    bare = Candidates(tuple(Candidate(candidate.item, candidate.score) for candidate in slate.candidates.items))
    example = Example(
        History("u3", slate.history.entries),
        bare,
        np.zeros(len(bare.items)),
        evidence=FactExtractor.of_log(log, items, 4.0),
    )
    trained = tokenise(example, TemplateLibrary().get(template), tokenizer, 16, context_tokens=8192)
    assert (trained.prefix, trained.suffixes) == (prompt.prefix, prompt.suffixes)


def test_given_candidates_keep_their_order_and_evidence(store: SqliteStore, tiny_tokenizer_folder: Path) -> None:
    rec = recommender(store, tiny_tokenizer_folder, "pointwise", "rank/pointwise.evidence")
    given = rec.slate(RecommendationRequest(user_id="u3", candidate_ids=("i20", "i12", "i2")))
    known = {c.item.id: {fact.kind: fact for fact in c.evidence} for c in given.candidates.items}
    assert list(known) == ["i20", "i12", "i2"]
    assert known["i12"]["transitions"].related == "Title 9"
    # 2 shares its studio with 3, which is in the history; the partners of 20 and 12 are not.
    assert known["i2"]["shared_attribute"].related == "Title 3"
    assert "shared_attribute" not in known["i20"]
    assert "shared_attribute" not in known["i12"]
