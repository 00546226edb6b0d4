from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from filters_factory import filters
from hypothesis import given
from hypothesis import strategies as st

from genrec.data.histories import HistoryArrays
from genrec.data.interactions import Interactions
from genrec.domain import DroppedItem, History, HistoryEntry, Item
from genrec.errors import WorkspaceError
from genrec.retrieval.base import Scores
from genrec.retrieval.hybrid import HybridRetriever
from genrec.retrieval.tuning import fit_hybrid
from genrec.settings import Settings
from genrec.text.encoders import HashingEncoder

IDS = ("a", "b", "c", "d", "e")
CATALOGUE = {item_id: Item(item_id, item_id.upper(), sponsored=item_id == "d") for item_id in IDS}


class Fixed:
    """Gives the same scores to every query that has a history."""

    name = "fixed"
    grid = ({},)

    def __init__(self, *scores: float) -> None:
        self._scores = np.array(scores, dtype=np.float32)

    def scores(self, query: HistoryArrays) -> Scores:
        return self._scores if len(query.item) else np.zeros_like(self._scores)


def lookup(item_ids: Sequence[str]) -> list[Item]:
    return [CATALOGUE[item_id] for item_id in item_ids]


def seen(*item_ids: str) -> History:
    return History(None, tuple(HistoryEntry(Item(item_id, ""), float(n)) for n, item_id in enumerate(item_ids)))


@pytest.fixture
def blend() -> HybridRetriever:
    parts = {"left": Fixed(4, 2, 0, 1, 0), "right": Fixed(0, 0, 0, 3, 6)}
    return HybridRetriever(parts, {"left": 1.0, "right": 0.5}, IDS, np.array([0, 0, 2, 1, 0], dtype=np.float32))


def chosen(blend: HybridRetriever, history: History, k: int = 5, **facts: Any) -> list[str]:
    found = blend.candidates(history, k, now=0.0, items=lookup, filters=filters(history, **facts))
    return [candidate.item.id for candidate in found.items]


def test_scores_are_the_weighted_sum_of_scaled_parts(blend: HybridRetriever) -> None:
    # left / 4, half of right / 6
    scores = blend.scores(HistoryArrays.of(seen("c"), blend.index, 0.0))
    np.testing.assert_allclose(scores, [1, 0.5, 0, 0.25 + 0.25, 0.5], atol=2e-6)


def test_best_first_and_ties_by_popularity_then_by_position(blend: HybridRetriever) -> None:
    # b, d and e score the same: d is the more popular, b stands before e
    assert chosen(blend, seen("c"), allow_sponsored=True) == ["a", "d", "b", "e"]


def test_without_any_history_the_popular_come_first(blend: HybridRetriever) -> None:
    assert chosen(blend, History("new"), allow_sponsored=True) == ["c", "d", "a", "b", "e"]


def test_an_item_that_the_index_does_not_know_is_no_history(blend: HybridRetriever) -> None:
    assert chosen(blend, seen("later")) == chosen(blend, History(None))


def test_sources_are_the_raw_scores_of_the_parts_that_have_the_item_among_their_best(blend: HybridRetriever) -> None:
    found = blend.candidates(seen("c"), 2, now=0.0, items=lookup, filters=filters(seen("c"), allow_sponsored=True))
    assert {candidate.item.id: candidate.sources for candidate in found.items} == {
        "a": {"left": 4.0},
        "d": {"right": 3.0},
    }


def test_dropped_items_have_the_reason_and_stand_before_the_last_that_is_kept(blend: HybridRetriever) -> None:
    found = blend.candidates(
        seen("a"), 1, now=0.0, items=lookup, filters=filters(seen("a"), blocked=["b"], exclude=["c"])
    )
    assert [candidate.item.id for candidate in found.items] == ["e"]
    assert found.dropped == (DroppedItem("a", "seen"), DroppedItem("d", "sponsored"), DroppedItem("b", "blocked"))


def test_conditions_of_the_caller(blend: HybridRetriever) -> None:
    found = blend.candidates(
        seen("c"), 1, now=0.0, items=lookup, filters=filters(seen("c"), lambda item: item.id in "be")
    )
    assert [candidate.item.id for candidate in found.items] == ["b"]
    assert found.dropped == (DroppedItem("a", "condition"), DroppedItem("d", "sponsored"))


def test_hidden_and_expired_items_are_left_out_at_once(blend: HybridRetriever) -> None:
    catalogue = {
        **CATALOGUE,
        "a": Item("a", "A", hidden=True),
        "b": Item("b", "B", expires=100.0),
        "e": Item("e", "E", expires=101.0),
    }

    def changed(item_ids: Sequence[str]) -> list[Item]:
        return [catalogue[item_id] for item_id in item_ids]

    found = blend.candidates(seen("c"), 5, now=0.0, items=changed, filters=filters(seen("c"), now=100.0))
    assert [candidate.item.id for candidate in found.items] == ["e"]
    assert {one.item_id: one.reason for one in found.dropped} == {
        "a": "hidden",
        "b": "expired",
        "c": "seen",
        "d": "sponsored",
    }


def test_seen_items_may_be_kept(blend: HybridRetriever) -> None:
    assert chosen(blend, seen("a"), k=1, keep_seen=True) == ["a"]


def test_when_all_filters_are_passed_the_whole_catalogue_is_there(blend: HybridRetriever) -> None:
    assert sorted(chosen(blend, seen("c"), k=99, keep_seen=True, allow_sponsored=True)) == sorted(IDS)


def test_nothing_is_left_when_nothing_passes(blend: HybridRetriever) -> None:
    assert chosen(blend, seen("c"), where=lambda item: False) == []


def test_scores_of_given_items_are_those_of_the_list(blend: HybridRetriever) -> None:
    found = blend.candidates(seen("c"), 5, now=0.0, items=lookup, filters=filters(seen("c"), allow_sponsored=True))
    listed = {candidate.item.id: candidate for candidate in found.items}
    asked = [listed["e"].item, Item("unknown", "?"), listed["a"].item]
    first, unknown, last = blend.score_items(seen("c"), asked, now=0.0)
    assert (first.score, first.parts) == (listed["e"].score, listed["e"].parts)
    assert (last.score, last.parts) == (listed["a"].score, listed["a"].parts)
    assert (unknown.score, set(unknown.parts.values())) == (0.0, {0.0})
    assert first.sources == {"caller": first.score}


def test_no_more_items_are_looked_up_than_wanted(blend: HybridRetriever) -> None:
    asked: list[str] = []

    def counting(item_ids: Sequence[str]) -> list[Item]:
        asked.extend(item_ids)
        return lookup(item_ids)

    blend.candidates(seen("a", "c"), 2, now=0.0, items=counting, filters=filters(seen("a", "c"), allow_sponsored=True))
    assert asked == ["d", "b"]


def test_without_parts_it_is_popularity() -> None:
    blend = HybridRetriever({}, {}, IDS, np.array([1, 5, 2, 0, 9], dtype=np.float32))
    assert chosen(blend, seen("a")) == ["e", "b", "c"]
    assert blend.name == "popularity"


@pytest.fixture(scope="module")
def fitted() -> tuple[HybridRetriever, dict[str, Item]]:
    random = np.random.default_rng(0)
    catalogue = {f"i{n}": Item(f"i{n}", f"title {n % 7} {n}", sponsored=n % 9 == 0) for n in range(40)}
    user = np.repeat(np.arange(30), 5)
    log = Interactions.from_columns(
        np.arange(30).astype(str).astype(object),
        np.array(list(catalogue), dtype=object),
        user,
        random.integers(0, 35, len(user)),
        1e9 + np.arange(len(user)),
    )
    return fit_hybrid(
        log, list(catalogue.values()), settings=Settings(), encoder=HashingEncoder(32), tune=False
    ), catalogue


ids = st.lists(st.integers(0, 45).map(lambda n: f"i{n}"), max_size=50)


@given(history=ids, blocked=ids, exclude=ids, k=st.integers(0, 50), allow_sponsored=st.booleans())
def test_lists_are_distinct_valid_full_and_free_of_what_was_filtered(
    fitted: tuple[HybridRetriever, dict[str, Item]],
    history: list[str],
    blocked: list[str],
    exclude: list[str],
    k: int,
    allow_sponsored: bool,
) -> None:
    blend, catalogue = fitted
    found = blend.candidates(
        seen(*history),
        k,
        now=2e9,
        items=lambda item_ids: [catalogue[item_id] for item_id in item_ids],
        filters=filters(seen(*history), blocked=blocked, exclude=exclude, allow_sponsored=allow_sponsored),
    )
    listed = [candidate.item.id for candidate in found.items]
    filtered = {*history, *blocked, *exclude}
    passing = {item.id for item in catalogue.values() if allow_sponsored or not item.sponsored} - filtered
    assert len(set(listed)) == len(listed) == min(k, len(passing))
    assert set(listed) <= passing
    assert not set(listed) & {item.item_id for item in found.dropped}
    scores = [candidate.score for candidate in found.items]
    assert scores == sorted(scores, reverse=True)
    assert np.isfinite(scores).all()


def test_comes_back_from_disk_unchanged(fitted: tuple[HybridRetriever, dict[str, Item]], tmp_path: Path) -> None:
    blend, _ = fitted
    blend.save(tmp_path)
    loaded = HybridRetriever.load(tmp_path)
    query = HistoryArrays.of(seen("i3", "i4"), blend.index, 0.0)
    np.testing.assert_array_equal(loaded.scores(query), blend.scores(query))
    assert (loaded.item_ids, loaded.weights, loaded.record, loaded.newest) == (
        blend.item_ids,
        blend.weights,
        blend.record,
        blend.newest,
    )


@pytest.mark.parametrize("missing", ["items.arrow", "settings.json", "covisit/arrays.safetensors"])
def test_a_missing_file_says_how_to_fix_it(
    fitted: tuple[HybridRetriever, dict[str, Item]], tmp_path: Path, missing: str
) -> None:
    fitted[0].save(tmp_path)
    (tmp_path / missing).unlink()
    with pytest.raises(WorkspaceError) as caught:
        HybridRetriever.load(tmp_path)
    assert "genrec fit" in caught.value.hint
