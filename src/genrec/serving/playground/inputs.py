"""From what was typed or chosen in the page to what a ranker gets: titles become items, users become histories."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from genrec.data.store import Store
from genrec.domain import Candidate, Candidates, History, HistoryEntry, Item
from genrec.facts.extract import FactExtractor
from genrec.ranking.base import RankingTask
from genrec.serving.playground.bodies import InputsBody

POPULAR = 20
"""Candidates where nothing proposes any."""
FREE = "free:"
"""Begins the ids of items that were typed and that the catalogue does not have."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a list as it was understood."""

    title: str
    item_id: str | None
    """None where the catalogue has no such title."""


class Catalogue:
    """Titles of one store, read once for each size of it; without a store no title is known."""

    def __init__(self, store: Store | None, liked: float = 4.0) -> None:
        self.store = store
        self._liked = liked
        self._size = -1
        self._by_title: dict[str, str] = {}
        self._popular: list[str] = []
        self._evidence: FactExtractor | None = None

    def items(self, titles: Sequence[str]) -> list[Item]:
        """The item of each title or id; one made up of the title where there is none."""
        self._refresh()
        found = [self._by_title.get(_key(title)) for title in titles]
        return [
            Item(f"{FREE}{position}", title) if item_id is None or self.store is None else self.store.item(item_id)
            for position, (title, item_id) in enumerate(zip(titles, found, strict=True))
        ]

    def popular(self, history: History) -> list[Item]:
        """What most people did, without what is in the history."""
        self._refresh()
        if self.store is None:
            return []
        seen = set(history.item_ids())
        return self.store.items([item_id for item_id in self._popular if item_id not in seen][:POPULAR])

    def with_evidence(self, history: History, candidates: Candidates) -> tuple[History, Candidates]:
        """The same with what the log knows of them."""
        self._refresh()
        return (history, candidates) if self._evidence is None else self._evidence.attached(history, candidates)

    def _refresh(self) -> None:
        size = 0 if self.store is None else self.store.n_items()
        if self.store is None or size == self._size:
            return
        ids: dict[str, str] = {}
        titles: dict[str, str] = {}
        items = list(self.store.all_items())
        for item in items:
            ids.setdefault(_key(item.id), item.id)
            titles.setdefault(_key(item.title), item.id)
        log = self.store.interactions()
        self._evidence = FactExtractor.of_log(log, items, self._liked)
        counts = Counter(log.item.tolist())
        # More than are shown: a history takes some of them away.
        self._popular = [str(log.item_ids[item]) for item, _ in counts.most_common(POPULAR + 500)]
        self._by_title, self._size = {**ids, **titles}, size


def history_of(body: InputsBody, catalogue: Catalogue) -> History:
    """The stored history of the user, or the typed one."""
    if body.history is not None:
        entries = [HistoryEntry(item, float(place)) for place, item in enumerate(catalogue.items(body.history))]
        return History(None, tuple(entries))
    if body.user_id is None or catalogue.store is None:
        return History(body.user_id)
    return catalogue.store.history(body.user_id)


def task_of(body: InputsBody, catalogue: Catalogue) -> RankingTask:
    """What a ranker gets, with the typed candidates, or else with what is popular."""
    history = history_of(body, catalogue)
    items = catalogue.popular(history) if body.candidates is None else catalogue.items(body.candidates)
    history, slate = catalogue.with_evidence(history, Candidates(tuple(Candidate(item, 0.0) for item in items)))
    return plain(RankingTask(history, slate, body.query or None, body.context or None))


def plain(task: RankingTask) -> RankingTask:
    """The task with its evidence found, as it can be sent to another process."""
    items = tuple(replace(one, evidence=tuple(one.evidence)) for one in task.candidates.items)
    history = replace(task.history, evidence=tuple(task.history.evidence))
    return replace(task, history=history, candidates=replace(task.candidates, items=items))


def lines(items: Sequence[Item]) -> list[Line]:
    """Each item as a line of the page."""
    return [Line(item.title, None if item.id.startswith(FREE) else item.id) for item in items]


def _key(title: str) -> str:
    return " ".join(title.casefold().split())
