"""Slates, rankings and contexts for tests of re-rankers."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import numpy as np
from scipy.special import softmax

from genrec.domain import Candidate, Candidates, History, Item, RankedItem, Ranking
from genrec.pipeline.reranking import rerank
from genrec.reranking.base import Ranked, RerankContext, ScoredItem
from genrec.settings import Settings


@cache
def settings(sections: str) -> Settings:
    """From sections as JSON; reading settings is slow."""
    return Settings.load(None, json.loads(sections))


def slate(**scores: float) -> Candidates:
    """Candidates by id with their retriever scores."""
    return Candidates(
        tuple(Candidate(Item(name, name.upper()), score, {"covisit": score}) for name, score in scores.items())
    )


def ranking(*pairs: tuple[str, float]) -> Ranking:
    """What a model said: ids with scores, best first."""
    return Ranking(tuple(RankedItem(*pair) for pair in pairs), "test")


def context(candidates: Candidates, p_click: Any = None, *, weight: float = 1.0, **more: Any) -> RerankContext:
    """A context in which P(click) follows the retriever's scores if not given; the model's scores are added to logits.

    `settings` may be sections, as flags are.
    """
    scores = np.array([one.score for one in candidates.items])
    p = np.array(p_click or [], dtype=float) if p_click is not None or not len(scores) else softmax(scores)

    def evidence(llm: Any) -> Any:
        with np.errstate(divide="ignore"):
            return p.sum() * softmax(np.log(p) + weight * (llm - llm.mean()))

    made = {"request_id": "r", "k": 10, "policy": "fuse", "best": float(p.max(initial=0.0)), "evidence": evidence}
    given = {**made, **more, "settings": settings(json.dumps(more.get("settings") or {}))}
    return RerankContext(candidates=candidates, p_click=p, history=History("u"), **given)


def shown(made: RerankContext, fallback: str | None = None, p_like: Any = None) -> Ranked:
    """The list after all stages of the settings."""
    return rerank(made, fallback, p_like)


def ranked(**p_click: float) -> Ranked:
    """A list in the given order, with values equal to P(click)."""
    candidates = slate(**dict.fromkeys(p_click, 1.0)).items
    return Ranked(tuple(ScoredItem(one, p, None, p) for one, p in zip(candidates, p_click.values(), strict=True)))


def ids(found: Ranked) -> list[str]:
    """Ids in the order of the list."""
    return [one.id for one in found.items]
