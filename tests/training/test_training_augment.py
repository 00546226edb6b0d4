"""Variations change what they name and nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genrec.domain import Candidate, Candidates, History, HistoryEntry, Item
from genrec.training.augment import AugmentSettings, augmented, truncated, without_fields
from genrec.training.base import Example

ITEMS = [Item(f"i{n}", f"Saga {n}", {"genres": ("g",), "year": "1999", "domain": "games"}) for n in range(60)]
NEVER = AugmentSettings(truncate=0, drop_field=0, drop_values=0)


def example(entries: int = 50) -> Example:
    seen = tuple(HistoryEntry(ITEMS[n], float(n), "play", 3.0) for n in range(entries))
    slate = tuple(Candidate(item, 1.0) for item in ITEMS[50:])
    return Example(History("u", seen), Candidates(slate), np.eye(10)[4], 1.5, np.arange(10.0))


def test_never_changes_nothing() -> None:
    given, made = example(), augmented(example(), NEVER, np.random.default_rng(0))
    assert (made.history, made.candidates, made.query) == (given.history, given.candidates, None)


def test_equal_generators_make_equal_examples() -> None:
    settings = AugmentSettings(truncate=0.5, drop_field=0.5, drop_values=0.5)

    def made(seed: int) -> list[tuple[object, ...]]:
        generator = np.random.default_rng(seed)
        made = [augmented(example(), settings, generator) for _ in range(20)]
        return [(one.history, one.candidates, one.query) for one in made]

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
    settings = AugmentSettings(truncate=0.3, drop_field=0.2, drop_values=0.4)
    generator = np.random.default_rng(0)
    made = [augmented(example(), settings, generator) for _ in range(1500)]
    assert np.mean([one.candidates.items[0].item.metadata.get("genres") is None for one in made]) == pytest.approx(
        0.2, abs=0.04
    )
    valued = [one.history.entries[0].value is None for one in made if one.history.entries]
    assert np.mean(valued) == pytest.approx(0.4, abs=0.04)
    assert np.mean([len(one.history.entries) < 50 for one in made]) == pytest.approx(0.3, abs=0.04)


def test_slate_target_weight_and_offset_stay_and_fields_go_from_all_cards() -> None:
    settings = AugmentSettings(truncate=1, drop_field=1, drop_values=1)
    given = replace(example(), query="a saga")
    made = augmented(given, settings, np.random.default_rng(1))
    assert [c.item.id for c in made.candidates.items] == [c.item.id for c in given.candidates.items]
    assert (made.target is given.target, made.weight, made.offset is given.offset) == (True, 1.5, True)
    assert made.query == "a saga"
    # `domain` says which verb an event has; it is on no card.
    assert {tuple(c.item.metadata) for c in made.candidates.items} == {("domain",)}
    assert all(tuple(entry.item.metadata) == ("domain",) for entry in made.history.entries)


def test_named_fields_go_and_others_stay() -> None:
    history, slate = without_fields(example().history, example().candidates, {"year"})
    assert set(history.entries[0].item.metadata) == {"genres", "domain"}
    assert set(slate.items[0].item.metadata) == {"genres", "domain"}
    assert ITEMS[0].metadata["year"] == "1999"
