"""Simulated requests: words of the item, from a vocabulary that discriminates, in wordings that evaluation keeps."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from genrec.domain import Item
from genrec.fitting.simulated_queries import QuerySimulator, wordings


def catalogue() -> list[Item]:
    """100 items: all have "Game", 10 "Zelda", 10 the genre "Role Playing", 3 "Rare"; every title has a number."""
    items = []
    for n in range(100):
        title = f"Game {n} of the" + (" Zelda" if n < 10 else "") + (" Rare" if n < 3 else "")
        items.append(Item(f"i{n}", title, {"genres": ("Role Playing",) if 5 <= n < 15 else (), "year": 1999.0}))
    return items


def test_the_vocabulary_leaves_out_the_frequent_the_rare_and_the_meaningless() -> None:
    simulator = QuerySimulator(catalogue(), min_items=5, max_share=0.25)
    assert simulator.vocabulary == {"zelda", "role playing"}
    assert "rare" in QuerySimulator(catalogue(), min_items=3).vocabulary
    assert "game" in QuerySimulator(catalogue(), max_share=1.0).vocabulary


def test_a_word_counts_once_for_an_item() -> None:
    items = [Item(str(n), "echo Echo echo" if n == 0 else "other") for n in range(20)]
    assert "echo" not in QuerySimulator(items, min_items=2).vocabulary


def test_a_request_holds_words_of_the_item_and_none_without_one() -> None:
    items = catalogue()
    simulator, generator = QuerySimulator(items), np.random.default_rng(0)
    assert simulator.words(items[7]) == ("Zelda", "Role Playing")
    texts = [simulator.query(items[7], generator) or "" for _ in range(300)]
    assert all("Zelda" in text or "Role Playing" in text for text in texts)
    both = np.mean(["Zelda" in text and "Role Playing" in text for text in texts])
    assert 0.2 < both < 0.47
    assert simulator.query(items[50], generator) is None
    assert {simulator.query(items[0], generator) for _ in range(300)} == {
        wording.format(w="Zelda") for wording in wordings("en", "train")
    }


def test_equal_generators_ask_the_same() -> None:
    simulator = QuerySimulator(catalogue())
    first, second = (
        [simulator.query(item, generator) for item in catalogue()]
        for generator in (np.random.default_rng(5), np.random.default_rng(5))
    )
    assert first == second


@pytest.mark.parametrize("language", ["en", "zh"])
def test_no_wording_of_a_later_phase_is_among_those_of_an_earlier_one(language: str) -> None:
    words = [
        [set(wording.replace("{w}", " ").split()) if language == "en" else set(wording.replace("{w}", ""))
         for wording in wordings(language, phase)]
        for phase in ("train", "validation", "test")
    ]  # fmt: skip
    for earlier, later in itertools.combinations(words, 2):
        for learned, asked in itertools.product(earlier, later):
            assert not asked <= learned
    item = catalogue()[0]
    simulator = QuerySimulator(catalogue(), language)
    asked_texts = {simulator.query(item, np.random.default_rng(seed), "test") for seed in range(100)}
    assert asked_texts == {wording.format(w="Zelda") for wording in wordings(language, "test")}


def test_chinese_values_and_title_runs_are_words() -> None:
    items = [Item(str(n), "三国 无双" if n < 8 else "别的", {"tags": ("动作",) if n < 6 else ()}) for n in range(40)]
    assert QuerySimulator(items, "zh").words(items[0]) == ("三国", "无双", "动作")


def test_descriptions_and_hidden_fields_are_not_asked_for() -> None:
    text = "a long description that nobody would say in a request"
    items = [Item(str(n), "x", {"about": text, "domain": "games", "platform": "Switch"}) for n in range(10)]
    items += [Item(f"o{n}", "y") for n in range(40)]
    assert QuerySimulator(items).words(items[0]) == ("Switch",)
