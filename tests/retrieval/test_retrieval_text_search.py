"""Requests in words: what is near, what it brings among the candidates, and what happens without an encoder."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from filters_factory import filters

from genrec.data.interactions import Interactions
from genrec.domain import History, HistoryEntry, Item
from genrec.errors import ModelError
from genrec.retrieval.hybrid import HybridRetriever
from genrec.retrieval.text_search import TextIndex
from genrec.retrieval.tuning import fit_hybrid, refit_blend
from genrec.retrieval.words import WordIndex
from genrec.settings import EncoderSettings, Settings
from genrec.text.encoders import CachedEncoder, HashingEncoder, Progress, Vectors

ITEMS = [
    Item("a", "north"),
    Item("b", "east"),
    Item("c", "south"),
    Item("d", "west", sponsored=True),
    Item("e", "east"),
    Item("f", "south"),
]
BY_ID = {item.id: item for item in ITEMS}
POPULARITY = np.array([9, 8, 7, 0, 2, 1], dtype=np.float32)


class Compass:
    """Words to directions in the plane; other words to nothing."""

    name = "compass"
    dimension = 2

    def __init__(self) -> None:
        self.asked: list[str] = []

    def encode(self, texts: Sequence[str], progress: Progress | None = None) -> Vectors:
        self.asked += texts
        known = {"north": (0, 1), "east": (1, 0), "south": (0, -1), "west": (-1, 0)}
        return np.array([known.get(text, (0, 0)) for text in texts], dtype=np.float32)


class Broken(Compass):
    def encode(self, texts: Sequence[str], progress: Progress | None = None) -> Vectors:
        raise ModelError("no such encoder", "fetch it")


def lookup(item_ids: Sequence[str]) -> list[Item]:
    return [BY_ID[item_id] for item_id in item_ids]


def history(*item_ids: str) -> History:
    return History(None, tuple(HistoryEntry(BY_ID[item_id], 0.0) for item_id in item_ids))


@pytest.fixture
def blend() -> HybridRetriever:
    """Recommends what is popular: a, b, c, and so on."""
    return HybridRetriever({}, {}, list(BY_ID), POPULARITY, texts=TextIndex.fit(ITEMS, Compass(), "compass"))


def test_nearness_is_the_standardised_cosine() -> None:
    near = TextIndex.fit(ITEMS[:4], Compass(), "compass").nearness("north")
    np.testing.assert_allclose(near, np.array([1, 0, -1, 0]) * np.sqrt(2), atol=1e-6)  # type: ignore[arg-type]


@pytest.mark.parametrize("request_", ["gibberish", " ", "?!"])
def test_a_request_that_tells_nothing_apart_changes_nothing(blend: HybridRetriever, request_: str) -> None:
    plain, asked = (
        blend.candidates(history("a"), 2, now=0.0, items=lookup, filters=filters(history("a")), query=words)
        for words in (None, request_)
    )
    assert plain == asked


def test_what_is_asked_for_stands_behind_what_fits_the_history(blend: HybridRetriever) -> None:
    found = blend.candidates(history("a"), 2, now=0.0, items=lookup, filters=filters(history("a")), query="south")
    assert [candidate.item.id for candidate in found.items] == ["b", "c", "f"]
    assert [list(candidate.sources) for candidate in found.items] == [[], ["query"], ["query"]]
    assert found.items[2].sources["query"] == found.items[2].parts["query"] > 1
    assert found.items[0].parts["query"] < found.items[1].parts["query"]
    assert found.items[2].score < found.items[1].score
    assert [candidate.parts["query words"] > 0 for candidate in found.items] == [False, True, True]


def test_half_as_many_items_come_by_the_request(blend: HybridRetriever) -> None:
    for k, brought in ((1, 0), (2, 1), (3, 1), (4, 1), (6, 0)):
        found = blend.candidates(history(), k, now=0.0, items=lookup, filters=filters(history()), query="east")
        assert len(found.items) == min(5, k) + brought, k
        assert len({candidate.item.id for candidate in found.items}) == len(found.items)


def test_filters_hold_for_what_is_asked_for(blend: HybridRetriever) -> None:
    rules = filters(history("c"), lambda item: item.id != "e", exclude=["f"])
    found = blend.candidates(history("c"), 2, now=0.0, items=lookup, filters=rules, query="south")
    assert [candidate.item.id for candidate in found.items] == ["a", "b"]
    assert {item.item_id: item.reason for item in found.dropped} == {
        "c": "seen",
        "f": "excluded",
        "e": "condition",
        "d": "sponsored",
    }


def test_the_callers_items_have_their_nearness(blend: HybridRetriever) -> None:
    near, far, unknown = blend.score_items(history(), [BY_ID["b"], BY_ID["d"], Item("z", "?")], now=0.0, query="east")
    assert near.parts["query"] > 0 > far.parts["query"]
    assert unknown.parts["query"] == unknown.parts["query words"] == 0
    assert near.parts["query words"] == pytest.approx(1 - np.log(3) / np.log(7))
    assert near.sources.keys() == {"caller"}
    assert "query" not in blend.score_items(history(), [BY_ID["b"]], now=0.0)[0].parts


def test_without_its_encoder_the_answer_is_that_without_words(
    blend: HybridRetriever, caplog: pytest.LogCaptureFixture
) -> None:
    blend.texts = TextIndex(np.eye(6, 2, dtype=np.float32), WordIndex.fit([""] * 6), "compass", "compass", Broken())
    with caplog.at_level(logging.WARNING):
        asked = [
            blend.candidates(history("a"), 2, now=0.0, items=lookup, filters=filters(history("a")), query="south")
            for _ in range(2)
        ]
    assert asked == [blend.candidates(history("a"), 2, now=0.0, items=lookup, filters=filters(history("a")))] * 2
    assert [record.getMessage() for record in caplog.records] == [
        "requests in words do not reach retrieval: no such encoder (fetch it)"
    ]


def test_the_encoder_is_loaded_by_the_first_request_and_must_be_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    TextIndex.fit(ITEMS, Compass(), "by-this-name").save(tmp_path)
    asked: list[EncoderSettings] = []

    def load(settings: EncoderSettings) -> Compass:
        asked.append(settings)
        return Compass()

    monkeypatch.setattr("genrec.retrieval.text_search.load_encoder", load)
    index = TextIndex.load(tmp_path)
    assert asked == []
    assert index.nearness("east") is not None
    assert index.nearness("west") is not None
    assert asked == [EncoderSettings(name="by-this-name")]

    monkeypatch.setattr(Compass, "name", "another")
    assert TextIndex.load(tmp_path).nearness("east") is None
    assert "another one" in caplog.text


def test_an_index_from_disk_says_what_the_fitted_one_said(tmp_path: Path) -> None:
    items = [Item(f"i{n}", f"a tale of {n % 7} and {n} moons") for n in range(50)]
    index = TextIndex.fit(items, HashingEncoder(), "hashing")
    index.save(tmp_path)
    np.testing.assert_array_equal(TextIndex.load(tmp_path).nearness("tale 3 moons"), index.nearness("tale 3 moons"))  # type: ignore[arg-type]


def test_an_empty_catalogue_is_near_to_nothing() -> None:
    assert TextIndex.fit([], HashingEncoder(8), "hashing").nearness("anything") is None


def test_a_fitted_blend_hears_requests_and_keeps_none_of_them(tmp_path: Path) -> None:
    ids = np.array(list(BY_ID), dtype=object)
    log = Interactions.from_columns(
        np.array(["u", "v"], dtype=object), ids, np.array([0, 0, 1]), np.array([0, 1, 0]), np.arange(3.0)
    )
    settings = Settings.load(None, {"retrieval": {"retrievers": ("popular",)}, "encoder": {"name": "hashing"}})
    cached = CachedEncoder(HashingEncoder(), tmp_path / "cache")
    fitted = fit_hybrid(log, ITEMS, settings=settings, encoder=cached, tune=False)
    (file,) = (tmp_path / "cache").iterdir()
    before = file.read_bytes()
    again = refit_blend(fitted, log, ITEMS, settings=settings, encoder=cached)
    fitted.save(tmp_path / "index")
    for blend in (fitted, again, HybridRetriever.load(tmp_path / "index")):
        found = blend.candidates(
            history("a"), 2, now=0.0, items=lookup, filters=filters(history("a")), query="go west or south"
        )
        assert "f" in [candidate.item.id for candidate in found.items]
    assert file.read_bytes() == before
    assert fit_hybrid(log, ITEMS, settings=settings, tune=False).texts is None
