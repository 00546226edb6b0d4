"""Controls: the slate read again with one thing spoiled, to see what the figure of a language model lives on.

A control is a pure function of a task and a seed. Ids, scores, label order and request stay where they are, only what
the model reads about them changes, so a ranking made under a control needs no translation back. Sources: Hou et al.,
Large language models are zero-shot rankers for recommender systems, ECIR 2024 (order of the history); Di Palma et al.,
Do LLMs memorize recommendation datasets?, SIGIR 2025 (titles); Ojala and Garriga, Permutation tests for studying
classifier performance, JMLR 2010 (texts permuted among candidates).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

import numpy as np

from genrec.domain import History, Item
from genrec.ranking.base import RankingTask


class Control(Protocol):
    """Takes from what a ranker reads something that a figure should depend on."""

    __name__: str

    def __call__(self, task: RankingTask, seed: int) -> RankingTask: ...


_YEAR_AT_END = re.compile(r"\s*\((?:1[89]|20)\d\d\)\s*$")
_IMPERSONAL = frozenset({"popularity", "recency"})
"""Kinds of evidence that do not look at the history."""
_SYLLABLES = tuple(consonant + vowel for consonant in "bdfgklmnprstvz" for vowel in "aeiou")


def renamed_titles(task: RankingTask, seed: int) -> RankingTask:
    """Every item has an invented title, the same in all tasks of a seed, so that a memorised title cannot help.

    Metadata stays, and so does a year at the end of a title, which is a fact like them; evidence speaks of the new
    titles. What is lost beside memory is what titles say by themselves, such as the number of a sequel.
    """
    entries = tuple(replace(entry, item=_renamed(entry.item, seed)) for entry in task.history.entries)
    titles = {old.item.title: new.item.title for old, new in zip(task.history.entries, entries, strict=True)}
    slate = tuple(
        replace(
            candidate,
            item=_renamed(candidate.item, seed),
            evidence=tuple(replace(fact, related=titles.get(fact.related, "")) for fact in candidate.evidence),
        )
        for candidate in task.candidates.items
    )
    return replace(
        task, history=replace(task.history, entries=entries), candidates=replace(task.candidates, items=slate)
    )


def shuffled_history(task: RankingTask, seed: int) -> RankingTask:
    """The events of the history in random order, at the times of the old ones: what is read of order is lost.

    The whole history is shuffled before a template takes its newest events, so recency is lost as well.
    """
    entries = task.history.entries
    order = _generator("shuffled_history", task, seed).permutation(len(entries))
    shuffled = tuple(
        replace(entries[source], timestamp=entry.timestamp) for source, entry in zip(order, entries, strict=True)
    )
    return replace(task, history=replace(task.history, entries=shuffled))


def shuffled_texts(task: RankingTask, seed: int) -> RankingTask:
    """Titles, metadata and evidence of the slate permuted among its ids: a model that reads the cards falls to chance.

    All permutations are equally likely, those with fixed points too: only then is the place of the item that is looked
    for uniform, and chance the exact expectation.
    """
    slate = task.candidates.items
    order = _generator("shuffled_texts", task, seed).permutation(len(slate))
    moved = tuple(
        replace(
            candidate,
            item=replace(candidate.item, title=card.item.title, metadata=card.item.metadata),
            evidence=card.evidence,
        )
        for candidate, card in zip(slate, (slate[source] for source in order), strict=True)
    )
    return replace(task, candidates=replace(task.candidates, items=moved))


def no_history(task: RankingTask, seed: int) -> RankingTask:
    """A prompt without history, and evidence of the candidates only where it is the same for everybody: what is left is
    how likely the model finds an item for anybody.
    """
    slate = tuple(
        replace(candidate, evidence=tuple(fact for fact in candidate.evidence if fact.kind in _IMPERSONAL))
        for candidate in task.candidates.items
    )
    return replace(task, history=History(task.history.user_id), candidates=replace(task.candidates, items=slate))


CONTROLS: Mapping[str, Control] = {
    control.__name__: control for control in (renamed_titles, shuffled_history, shuffled_texts, no_history)
}
"""Every control by the name that suites give it."""

DEFINITIONS: Mapping[str, str] = {
    "renamed_titles": "every item under an invented title, metadata kept: what falls away was memory of titles",
    "shuffled_history": "the history in random order: what falls away was read from its order",
    "shuffled_texts": "texts and evidence permuted within the slate: must fall to chance if the cards are read",
    "no_history": "a prompt without history: what is left is not personal",
}
"""What each control changes, for reports."""


def _renamed(item: Item, seed: int) -> Item:
    year = _YEAR_AT_END.search(item.title)
    return replace(item, title=invented_title(item.id, seed) + (year.group().rstrip() if year else ""))


def invented_title(item_id: str, seed: int) -> str:
    """Two pronounceable words that mean nothing, of 70^6 pairs the one that a hash of seed and id gives."""
    number = int.from_bytes(_digest("title", seed, item_id), "big")
    syllables = []
    for _ in range(6):
        number, place = divmod(number, len(_SYLLABLES))
        syllables.append(_SYLLABLES[place])
    return f"{''.join(syllables[:3]).capitalize()} {''.join(syllables[3:]).capitalize()}"


def _generator(name: str, task: RankingTask, seed: int) -> np.random.Generator:
    """Chance that depends on nothing but the seed and what the task is about."""
    slate = [candidate.item.id for candidate in task.candidates.items]
    digest = _digest(name, seed, task.history.user_id or "", *task.history.item_ids(), "", *slate)
    return np.random.default_rng(int.from_bytes(digest, "big"))


def _digest(*parts: object) -> bytes:
    return hashlib.blake2b("\0".join(map(str, parts)).encode("utf-8", "surrogatepass"), digest_size=16).digest()
