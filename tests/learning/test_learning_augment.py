"""Variations change what they name and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genrec.domain import Candidate, Candidates, History, HistoryEntry, Item
from genrec.learning.augment import AugmentSettings, augmented, requested, truncated, without_fields
from genrec.learning.base import Example
from genrec.learning.requests import RequestSimulator

ITEMS = [Item(f"i{n}", f"Saga {n}", {"genres": ("g",), "year": "1999", "domain": "games"}) for n in range(60)]
CATALOGUE = [*ITEMS, *(Item(f"o{n}", "other thing") for n in range(240))]
NEVER = AugmentSettings(truncate=0, drop_field=0, drop_values=0, requests=0)


def example(entries: int = 50) -> Example:
    seen = tuple(HistoryEntry(ITEMS[n], float(n), "play", 3.0) for n in range(entries))
    slate = tuple(Candidate(item, 1.0) for item in ITEMS[50:])
    return Example(History("u", seen), Candidates(slate), np.eye(10)[4], 1.5, np.arange(10.0))


def test_never_changes_nothing() -> None:
    given, made = (
        example(),
        augmented(example(), NEVER, np.random.default_rng(0), ITEMS[54], RequestSimulator(CATALOGUE)),
    )
    assert (made.history, made.candidates, made.request) == (given.history, given.candidates, None)


def test_equal_generators_make_equal_examples() -> None:
    settings = AugmentSettings(truncate=0.5, drop_field=0.5, drop_values=0.5, requests=0.5)
    simulator = RequestSimulator(CATALOGUE)

    def made(seed: int) -> list[tuple[object, ...]]:
        generator = np.random.default_rng(seed)
        made = [augmented(example(), settings, generator, ITEMS[54], simulator) for _ in range(20)]
        return [(one.history, one.candidates, one.request) for one in made]

    assert made(3) == made(3) != made(4)


@given(st.integers(0, 80), st.integers(0, 2**32 - 1))
def test_truncation_keeps_the_newest(entries: int, seed: int) -> None:
    seen = tuple(HistoryEntry(ITEMS[n % 60], float(n)) for n in range(entries))
    kept = truncated(History("u", seen), np.random.default_rng(seed)).entries
    assert kept == seen[entries - len(kept) :]


def test_truncation_prefers_short_histories_and_reaches_none() -> None:
    generator = np.random.default_rng(0)
    kept = np.array([len(truncated(example().history, generator).entries) for _ in range(4000)])
    # P(kept < k) = log(k + 1) / log(51)
    for k in (1, 5, 20):
        assert (kept < k).mean() == pytest.approx(np.log(k + 1) / np.log(51), abs=0.03)
    assert kept.max() <= 50


def test_shares_are_those_of_the_settings() -> None:
    settings = AugmentSettings(truncate=0.3, drop_field=0.2, drop_values=0.4, requests=0.25)
    generator, simulator = np.random.default_rng(0), RequestSimulator(CATALOGUE)
    made = [augmented(example(), settings, generator, ITEMS[54], simulator) for _ in range(1500)]
    assert np.mean([one.request is not None for one in made]) == pytest.approx(0.25, abs=0.04)
    assert np.mean([one.candidates.items[0].item.metadata.get("genres") is None for one in made]) == pytest.approx(
        0.2, abs=0.04
    )
    valued = [one.history.entries[0].value is None for one in made if one.history.entries]
    assert np.mean(valued) == pytest.approx(0.4, abs=0.04)
    assert np.mean([len(one.history.entries) < 50 for one in made]) == pytest.approx(0.3, abs=0.04)


def test_slate_target_weight_and_offset_stay_and_fields_go_from_all_cards() -> None:
    settings = AugmentSettings(truncate=1, drop_field=1, drop_values=1, requests=1)
    given = example()
    made = augmented(given, settings, np.random.default_rng(1), ITEMS[54], RequestSimulator(CATALOGUE))
    assert [c.item.id for c in made.candidates.items] == [c.item.id for c in given.candidates.items]
    assert (made.target is given.target, made.weight, made.offset is given.offset) == (True, 1.5, True)
    # `domain` says which verb an event has; it is on no card.
    assert {tuple(c.item.metadata) for c in made.candidates.items} == {("domain",)}
    assert all(tuple(entry.item.metadata) == ("domain",) for entry in made.history.entries)
    assert made.request is not None
    assert "Saga" in made.request


def test_an_item_without_words_keeps_the_request_that_was_there() -> None:
    settings = AugmentSettings(truncate=0, drop_field=0, drop_values=0, requests=1)
    nameless = Item("n", "zzz")
    made = augmented(example(), settings, np.random.default_rng(1), nameless, RequestSimulator(CATALOGUE))
    assert made.request is None


def test_named_fields_go_and_others_stay() -> None:
    history, slate = without_fields(example().history, example().candidates, {"year"})
    assert set(history.entries[0].item.metadata) == {"genres", "domain"}
    assert set(slate.items[0].item.metadata) == {"genres", "domain"}
    assert ITEMS[0].metadata["year"] == "1999"


def test_examples_with_requests_are_those_that_have_a_word() -> None:
    simulator, wordless = RequestSimulator(CATALOGUE), Candidate(Item("n", "zzz"), 1.0)
    without = Example(History("u"), Candidates((wordless, *example().candidates.items)), np.eye(11)[0])
    made = requested([without, example(), example()], simulator, seed=3)
    assert len(made) == 2
    assert all("Saga" in (one.request or "") for one in made)
    assert [one.request for one in made] == [
        one.request for one in requested([without, example(), example()], simulator, 3)
    ]
    expected = simulator.request(ITEMS[54], np.random.default_rng([3, 1]), "test")
    assert made[0].request == expected
