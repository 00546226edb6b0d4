"""Simulated queries in words: what somebody might say who wants a given item.

It is a simulation and a kind one: each query holds one or two words of the very item that counts as right, words
that few other items share. A gain on such queries shows that the ranker reads the query and finds the cards that
fit it; it does not show that people ask this way. Training, validation and test use different wordings, so that what
is chosen and measured is not a sentence learned by heart; the words themselves come from the same catalogue.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from genrec.domain import Item

Phase = Literal["train", "validation", "test"]

_WORDINGS: dict[str, dict[Phase, tuple[str, ...]]] = {
    "en": {
        "train": (
            "something with {w}",
            "I feel like {w} tonight",
            "I am looking for {w}",
            "do you have anything about {w}?",
            "show me {w}",
            "{w}, please",
            "in the mood for {w}",
            "I want {w} this time",
        ),
        "validation": (
            "how about {w}?",
            "{w} for the weekend",
            "what I need now is {w}",
            "got anything like {w}?",
        ),
        "test": (
            "what would you suggest if I like {w}?",
            "{w} would be nice today",
            "my friends want {w}, any ideas?",
            "let it be {w}",
            "can you find me some {w}",
            "more {w}",
        ),
    },
    "zh": {
        "train": (
            "想要和{w}有关的",
            "今晚想来点{w}",
            "我在找{w}",
            "有没有关于{w}的？",
            "给我看看{w}",
            "请给我{w}",
        ),
        "validation": (
            "来一个{w}怎么样？",
            "周末想要{w}",
            "最近迷上了{w}",
        ),
        "test": (
            "如果我喜欢{w}，你推荐什么？",
            "今天来个{w}就好",
            "朋友们想要{w}，有什么主意？",
            "帮我挑点{w}",
        ),
    },
}
_AND = {"en": " and ", "zh": "和"}
_COMMON = (
    "the and for with from you your are was were his her its our their this that these those into onto over under "
    "out off not but all any one two three new day days what when where who why how than then them they she him has "
    "have had can will would should could about after before between more most some such only own same too very "
    "just also may vol part edition version volume set pack"
)
_STOP_WORDS = frozenset(_COMMON.split())
_HIDDEN = frozenset({"domain", "id", "asin", "url", "image"})
_WORD = re.compile(r"[^\W\d_][\w'\-]*")
_HAN = re.compile(r"[\u3400-\u9fff]{2,6}")
_LONGEST_VALUE = 30
"""Longer texts are descriptions, not something one asks for."""


class QuerySimulator:
    """Queries in words out of titles and text metadata of a catalogue (see the module for what they are worth).

    Words are those of titles (no stop words, no numbers) and whole metadata values (genres, tags, platforms) that at
    least `min_items` and at most the share `max_share` of the items have: a word of all items asks for nothing.
    """

    def __init__(
        self, items: Iterable[Item], language: str = "en", *, min_items: int = 5, max_share: float = 0.25
    ) -> None:
        self.language = language.split("-")[0] if language.split("-")[0] in _WORDINGS else "en"
        found = Counter[str]()
        total = 0
        for item in items:
            total += 1
            found.update({word.casefold() for word in _terms(item)})
        self.vocabulary = frozenset(word for word, count in found.items() if min_items <= count <= max_share * total)

    def words(self, item: Item) -> tuple[str, ...]:
        """The words of the vocabulary that an item has, as it writes them, each once."""
        words = {word.casefold(): word for word in _terms(item) if word.casefold() in self.vocabulary}
        return tuple(words.values())

    def query(self, item: Item, generator: np.random.Generator, phase: Phase = "train") -> str | None:
        """What somebody might say who wants the item, None where it has no word of the vocabulary.

        One word, or two in a third of the cases; the wordings of two phases have none in common.
        """
        words = self.words(item)
        if not words:
            return None
        count = min(len(words), 1 + int(generator.random() < 1 / 3))
        chosen = [words[place] for place in generator.choice(len(words), count, replace=False)]
        wordings = _WORDINGS[self.language][phase]
        return wordings[generator.integers(len(wordings))].format(w=_AND[self.language].join(chosen))


@dataclass(frozen=True, eq=False)
class SimulatedQueries:
    """Simulated queries at positions of a log, at a given share of them: seed, row and phase decide, nothing else."""

    simulator: QuerySimulator
    share: float
    seed: int = 0
    phase: Phase = "train"
    """Whose wordings are used: validation is asked in sentences that training did not see."""

    def at(self, row: int, chosen: Item) -> str | None:
        """What is asked for at a row of the log, where the user chose the item; None where nothing is said."""
        generator = np.random.default_rng([self.seed, row])
        return self.simulator.query(chosen, generator, self.phase) if generator.random() < self.share else None


def wordings(language: str, phase: Phase) -> Sequence[str]:
    """The sentences of a phase, with {w} where the words stand."""
    return _WORDINGS[language][phase]


def _terms(item: Item) -> list[str]:
    terms = [word for word in _WORD.findall(item.title) if _speaks(word)]
    terms += _HAN.findall(item.title)
    for name, value in item.metadata.items():
        if name not in _HIDDEN and not isinstance(value, int | float):
            texts = (value,) if isinstance(value, str) else value
            terms += [text for text in texts if len(text) <= _LONGEST_VALUE and _speaks(text)]
    return terms


def _speaks(word: str) -> bool:
    """Long enough to mean something, with letters, and no stop word."""
    han = _HAN.search(word) is not None
    return (len(word) > 2 or han) and any(map(str.isalpha, word)) and word.casefold() not in _STOP_WORDS
