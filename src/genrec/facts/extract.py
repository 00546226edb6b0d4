"""What the system knows of a slate, as facts in named buckets: for prompts that say it in words, and for reasons.

Everything comes from the statistics of items and from the catalogue, so it is as old as they are, and knows of a log
what they were fitted on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from itertools import islice
from typing import Any, Self, overload

import numpy as np

from genrec.data.interactions import FloatArray, IntArray, Interactions
from genrec.data.item_statistics import PRIOR, ItemStatistics
from genrec.data.labels import rated_rows
from genrec.domain import Candidates, Fact, History, Item
from genrec.prompting.event_verbs import rating
from genrec.retrieval.retrievers.covisit import CovisitRetriever

HISTORY = 50
"""So many of the newest events are compared with the candidates."""
OFTEN, SOMETIMES = 0.1, 0.05
"""transitions: how often the candidate stood near the title (see `CovisitRetriever`), for each choice of the title."""
DOUBT = 20.0
"""transitions: so many choices without the candidate are added, so that one person is not often."""
HEAD, BODY = 1 / 3, 2 / 3
"""popularity: the most chosen items, which share a third of all events, are very popular; the next third popular."""
NEW = 0.05
"""popularity: new is what was first chosen in the last twentieth of the log, or never."""
RISING, FADING = 1.5, 0.5
"""recency: the share of an item's choices that is recent, against that of all items."""
ENOUGH = 5
"""recency, ratings, habits: nothing is said of fewer events."""
GAP = 0.3
"""ratings: how far, in standard deviations, others' mean is from the user's."""
MOSTLY, RARELY = 0.7, 0.3
"""habits: shares of high ratings; from RARELY on, repeated choices are a habit."""
PREFERS = 0.5
"""habits: share of choices in one bucket of popularity, where a third is to be expected."""
RARE = 0.05
"""graph: a value that more of the catalogue shares says nothing."""
SAMPLE = 20_000
"""graph: so many items of the catalogue tell how rare a value is."""
LONGEST = 60
"""graph: longer values are descriptions."""

Value = tuple[str, str]
"""A metadata field and one of its values."""


class FactExtractor:
    """Makes facts from the statistics of a log whose items are `item_ids`; `catalogue` gives its items, `covisit` what
    stood near what, None where no retriever knows it: nothing is then said of transitions.

    All are asked for when a fact is first read.
    """

    def __init__(
        self,
        statistics: Callable[[], ItemStatistics],
        item_ids: Sequence[str],
        catalogue: Callable[[], Iterable[Item]],
        covisit: Callable[[], CovisitRetriever | None],
    ) -> None:
        self._fit, self._item_ids, self._catalogue = statistics, item_ids, catalogue
        self._covisit = covisit

    @classmethod
    def of_log(cls, interactions: Interactions, items: Sequence[Item], liked: float) -> Self:
        """From statistics of this log, which are fitted when evidence is first read."""

        def fit() -> ItemStatistics:
            return ItemStatistics.fit(interactions, rated_rows(interactions, liked), liked)

        ids = interactions.item_ids.tolist()
        return cls(fit, ids, lambda: items, cache(lambda: CovisitRetriever.fit(interactions, items)))

    def attached(self, history: History, candidates: Candidates) -> tuple[History, Candidates]:
        """The same with evidence. It is found when it is first read, as few templates ask for it."""
        slate = _Slate(self, history, candidates)
        items = tuple(
            replace(candidate, evidence=_Lazy(slate, place)) for place, candidate in enumerate(candidates.items)
        )
        return replace(history, evidence=_Lazy(slate, None)), replace(candidates, items=items)

    def of_candidates(self, history: History, candidates: Candidates) -> list[tuple[Fact, ...]]:
        """Fact of each candidate, at most one of a kind."""
        if not candidates.items:
            return []
        item = self._positions(candidate.item.id for candidate in candidates.items)
        columns = (
            self._transitions(history, item),
            self._popularity(item),
            self._recency(item),
            self._ratings(history, item),
            self._graph(history, candidates),
        )
        return [tuple(fact for fact in facts if fact is not None) for facts in zip(*columns, strict=True)]

    def of_history(self, history: History) -> tuple[Fact, ...]:
        """The habits of a user."""
        entries = history.entries[-HISTORY:]
        values = _ratings_of(history)
        found = []
        if len(values) >= ENOUGH:
            liked = float((values >= self._statistics.liked).mean())
            found.append("high ratings" if liked >= MOSTLY else "low ratings" if liked <= RARELY else "mixed ratings")
        if len(entries) >= ENOUGH:
            buckets = [fact.bucket for fact in self._popularity(self._positions(entry.item.id for entry in entries))]
            unknown = buckets.count("little known") + buckets.count("new")
            found += ["well known"] * (buckets.count("very popular") >= PREFERS * len(buckets))
            found += ["little known"] * (unknown >= PREFERS * len(buckets))
            distinct = len({entry.item.id for entry in entries})
            found += ["returns"] * (len(entries) - distinct >= RARELY * len(entries))
        return tuple(Fact("habits", bucket) for bucket in found)

    def _transitions(self, history: History, item: IntArray) -> list[Fact | None]:
        """The title of the history with which a candidate goes most, and how often."""
        titles = {entry.item.id: entry.item.title for entry in history.entries[-HISTORY:]}
        past = self._positions(titles)
        known, named = past < self._unknown, list(titles.values())
        often = np.zeros((len(past), len(item)))
        of_log = np.flatnonzero(item < self._unknown)
        covisit = self._covisit() if known.any() and len(of_log) else None
        if covisit is not None:
            count = self._statistics.count
            often[np.ix_(known, of_log)] = covisit.together(past[known], item[of_log], count)
        rate = often / (self._statistics.count[past] + DOUBT)[:, None]
        if not len(rate):
            return [None] * len(item)
        best = rate.argmax(axis=0)
        return [
            None if not share else Fact("transitions", _frequency(share), named[row])
            for row, share in zip(best.tolist(), rate.max(axis=0).tolist(), strict=True)
        ]

    def _popularity(self, item: IntArray) -> list[Fact]:
        s = self._statistics
        before = self._share_before[item]
        new = (s.count[item] == 0) | ((s.first[item] >= s.newest - NEW * s.span) & (before >= HEAD))
        names = np.where(before < HEAD, "very popular", np.where(before < BODY, "popular", "little known"))
        return [Fact("popularity", bucket) for bucket in np.where(new, "new", names).tolist()]

    def _recency(self, item: IntArray) -> list[Fact | None]:
        s = self._statistics
        everything = max(float(s.recent.sum()) / max(float(s.count.sum()), 1.0), 1e-12)
        trend = s.recent[item] / np.maximum(s.count[item], 1) / everything
        return _pick("recency", trend >= RISING, "rising", trend <= FADING, "fading", s.count[item] >= ENOUGH)

    def _ratings(self, history: History, item: IntArray) -> list[Fact | None]:
        """Whether others' mean rating of a candidate is above or below the mean that this user gives."""
        s, values = self._statistics, _ratings_of(history)
        if len(values) < ENOUGH:
            return [None] * len(item)
        own = np.clip((values - s.value_mean) / s.value_scale, -3, 3).sum() / (len(values) + PRIOR)
        gap = s.deviation[item] - own
        return _pick("ratings", gap >= GAP, "above", gap <= -GAP, "below", s.count[item] >= ENOUGH)

    def _graph(self, history: History, candidates: Candidates) -> list[Fact | None]:
        """The rarest metadata value that a candidate shares with the history, and the newest title that has it."""
        titles: dict[Value, str] = {}
        for entry in history.entries[-HISTORY:]:
            titles |= dict.fromkeys(_values(entry.item), entry.item.title)
        own = {entry.item.id for entry in history.entries}
        found: list[Fact | None] = []
        for candidate in candidates.items:
            shared = [value for value in _values(candidate.item) if value in titles and self._says_something(value)]
            rarest = min(shared, key=lambda value: self._values_known[value], default=None)
            known = rarest is not None and candidate.item.id not in own
            found.append(Fact("graph", "same", titles[rarest], rarest[0]) if rarest and known else None)
        return found

    def _says_something(self, value: Value) -> bool:
        return self._values_known[value] <= max(ENOUGH, RARE * self._items_known)

    @cached_property
    def _statistics(self) -> ItemStatistics:
        return self._fit()

    @cached_property
    def _position(self) -> Mapping[str, int]:
        return {item_id: position for position, item_id in enumerate(self._item_ids)}

    @property
    def _unknown(self) -> int:
        return len(self._item_ids)

    def _positions(self, ids: Iterable[str]) -> IntArray:
        return np.array([self._position.get(item_id, self._unknown) for item_id in ids], dtype=np.int32)

    @cached_property
    def _share_before(self) -> FloatArray:
        """Share [I + 1] of all events that is about items chosen more often; of equal ones the first comes first."""
        count = self._statistics.count
        order = np.argsort(-count, kind="stable")
        share = np.empty(len(count))
        share[order] = (np.cumsum(count[order]) - count[order]) / max(float(count.sum()), 1.0)
        return share

    @cached_property
    def _values_known(self) -> Counter[Value]:
        return Counter(value for item in islice(self._catalogue(), SAMPLE) for value in _values(item))

    @property
    def _items_known(self) -> int:
        return min(SAMPLE, self._unknown)


@dataclass(frozen=True, eq=False)
class _Slate:
    """One slate, whose evidence is found at once."""

    maker: FactExtractor
    history: History
    candidates: Candidates

    @cached_property
    def of_candidates(self) -> list[tuple[Fact, ...]]:
        return self.maker.of_candidates(self.history, self.candidates)

    @cached_property
    def of_history(self) -> tuple[Fact, ...]:
        return self.maker.of_history(self.history)


class _Lazy(Sequence[Fact]):
    """The evidence of one candidate (`place`) or of the history (None), found when it is first read."""

    def __init__(self, slate: _Slate, place: int | None) -> None:
        self._slate, self._place = slate, place

    @property
    def _facts(self) -> tuple[Fact, ...]:
        return self._slate.of_history if self._place is None else self._slate.of_candidates[self._place]

    @overload
    def __getitem__(self, index: int) -> Fact: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Fact]: ...
    def __getitem__(self, index: int | slice) -> Fact | Sequence[Fact]:
        return self._facts[index]

    def __len__(self) -> int:
        return len(self._facts)

    def __iter__(self) -> Iterator[Fact]:
        return iter(self._facts)

    def __eq__(self, other: object) -> bool:
        return tuple(self) == tuple(other) if isinstance(other, Sequence) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._facts)

    def __repr__(self) -> str:
        return repr(self._facts)

    def __reduce__(self) -> tuple[Any, ...]:
        return tuple, (self._facts,)  # a copy has the facts, not the statistics behind them


def _frequency(share: float) -> str:
    return "often" if share >= OFTEN else "sometimes" if share >= SOMETIMES else "seldom"


def _pick(kind: str, high: Any, above: str, low: Any, below: str, enough: Any) -> list[Fact | None]:
    names = np.where(high & enough, above, np.where(low & enough, below, "")).tolist()
    return [Fact(kind, bucket) if bucket else None for bucket in names]


def _ratings_of(history: History) -> FloatArray:
    """Values of the events that prompts show as ratings."""
    rated = [entry.value for entry in history.entries if entry.value is not None and rating(entry)]
    return np.array(rated, dtype=np.float64)


def _values(item: Item) -> Iterator[Value]:
    """What an item may share with others: texts of any metadata field, but neither numbers nor descriptions."""
    for name, value in item.metadata.items():
        for text in (value,) if isinstance(value, str) else value if isinstance(value, tuple) else ():
            if len(text) <= LONGEST and not text.isdecimal():
                yield name, text
