"""The contract of re-rankers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pytest

from genrec.domain import Candidate, Candidates, History, Item, RankedItem, Ranking
from genrec.reranking.base import RERANKERS, Ranked, RerankContext, Reranker, ScoredItem
from genrec.settings import Settings

P_CLICK = {"a": 0.4, "b": 0.3, "c": 0.2, "d": 0.06, "e": 0.04}


def slate(**scores: float) -> Candidates:
    """Candidates by id with their retriever scores."""
    return Candidates(
        tuple(Candidate(Item(name, name.upper()), score, {"covisit": score}) for name, score in scores.items())
    )


def ranking(*pairs: tuple[str, float]) -> Ranking:
    """What a model said: ids with scores, best first."""
    return Ranking(tuple(RankedItem(*pair) for pair in pairs), "test")


def ranked(**p_click: float) -> Ranked:
    """A list in the given order, with values equal to P(click)."""
    candidates = slate(**dict.fromkeys(p_click, 1.0)).items
    return Ranked(tuple(ScoredItem(one, p, None, p) for one, p in zip(candidates, p_click.values(), strict=True)))


def ids(found: Ranked) -> list[str]:
    """Ids in the order of the list."""
    return [one.id for one in found.items]


def context(candidates: Candidates, p_click: list[float], **more: Any) -> RerankContext:
    """A request for these candidates, in which the scores of the model are added to the logits of P(click)."""
    p = np.array(p_click, dtype=float)

    def evidence(llm: Any) -> Any:
        odds = p * np.exp(llm - llm.mean())
        return p.sum() * odds / odds.sum()

    given = {"request_id": "r", "k": 10, "policy": "fuse", "best": float(p.max(initial=0.0)), "evidence": evidence}
    settings = Settings.load(None, more.pop("settings", None))
    return RerankContext(candidates=candidates, p_click=p, history=History("u"), settings=settings, **{**given, **more})


class RerankerContract:
    """Set `name` to that of a module of `genrec.reranking`, or to a dotted path."""

    name: ClassVar[str]

    def asked(self, **more: Any) -> RerankContext:
        """A request of a user whose list is logged, for which the model said the opposite of P(click)."""
        candidates = slate(**dict.fromkeys(P_CLICK, 1.0))
        said = ranking(*((item_id, float(-n)) for n, item_id in enumerate(reversed(P_CLICK))))
        given = {"ranking": said, "is_logged": True, "settings": {"exploration": {"temperature": 2.0}}, **more}
        return context(candidates, list(P_CLICK.values()), **given)

    def reranked(self, before: Ranked, asked: RerankContext) -> Ranked:
        """What the re-ranker makes of a list."""
        stage: Reranker = RERANKERS.find(self.name)()
        return stage.rerank(before, asked)

    @pytest.mark.parametrize("policy", ["fuse", "annotate", "veto"])
    def test_items_are_moved_or_left_out_and_never_added(self, policy: str) -> None:
        before = ranked(**P_CLICK)
        after = self.reranked(before, self.asked(policy=policy))
        gone = [one.item_id for one in after.dropped]
        assert sorted([*ids(after), *gone]) == sorted(ids(before))

    @pytest.mark.parametrize("policy", ["fuse", "annotate", "veto"])
    def test_every_change_has_a_reason(self, policy: str) -> None:
        before = ranked(**P_CLICK)
        after = self.reranked(before, self.asked(policy=policy))
        assert all(one.reason and one.stage for one in after.dropped)
        values = [one.value for one in after.items]
        by_value = values == sorted(values, reverse=True)
        by_click = [one.p_click for one in after.items] == sorted((one.p_click for one in after.items), reverse=True)
        left = [item_id for item_id in ids(before) if item_id in ids(after)]
        for old, one in zip(left, after.items, strict=True):
            assert one.id == old or one.moved or by_value or by_click

    def test_the_candidates_stay_what_they_are(self) -> None:
        before = ranked(**P_CLICK)
        candidates = {one.id: one.candidate for one in before.items}
        assert all(one.candidate is candidates[one.id] for one in self.reranked(before, self.asked()).items)

    def test_equal_requests_have_equal_lists(self) -> None:
        assert self.reranked(ranked(**P_CLICK), self.asked()) == self.reranked(ranked(**P_CLICK), self.asked())

    def test_an_empty_list_stays_empty(self) -> None:
        assert self.reranked(Ranked(()), context(slate(), [])).items == ()

    def test_what_earlier_stages_said_is_kept(self) -> None:
        before = ranked(**P_CLICK)
        before = before.without({"e": "a rule"}, "rules").reordered(before.items[3::-1], "diversity")
        after = self.reranked(replace(before, fallback="deadline"), self.asked())
        assert after.dropped[: len(before.dropped)] == before.dropped
        assert after.fallback == "deadline"
        said = {one.id: one.moved for one in before.items}
        assert all(one.moved[: len(said[one.id])] == said[one.id] for one in after.items)
