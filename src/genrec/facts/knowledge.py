"""What facts are made from: statistics of a log, and how common metadata values are in the catalogue."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import islice

import numpy as np

from genrec.data import event_types
from genrec.data.interactions import FloatArray, IntArray
from genrec.data.item_statistics import ItemStatistics
from genrec.domain import History, HistoryEntry, Item
from genrec.prompting.event_verbs import rating
from genrec.retrieval.retrievers.covisit import CovisitRetriever

SAMPLE = 20_000
"""So many items of the catalogue tell how rare a value is."""
LONGEST = 60
"""Longer values are descriptions."""
LOW = -1.0
"""Titles rated so many standard deviations from the mean, or lower, are no reason for another."""

Value = tuple[str, str]
"""A metadata field and one of its values."""


class Knowledge:
    """Statistics of a log whose items are `item_ids`; `catalogue` gives its items, `covisit` what stood near what, None
    where no retriever knows it: then nothing did. All are asked for when they are needed.
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

    @cached_property
    def statistics(self) -> ItemStatistics:
        """Of the log."""
        return self._fit()

    def positions(self, ids: Iterable[str]) -> IntArray:
        """Positions of items in the statistics; items that the log does not have are at the last one."""
        return np.array([self._position.get(item_id, self.unknown) for item_id in ids], dtype=np.int32)

    @property
    def unknown(self) -> int:
        """Position of all items that the log does not have."""
        return len(self._item_ids)

    def together(self, source: IntArray, target: IntArray) -> FloatArray:
        """How often items, known or not, stood near each other in histories [s, t]."""
        often = np.zeros((len(source), len(target)))
        known, of_log = source < self.unknown, np.flatnonzero(target < self.unknown)
        covisit = self._covisit() if known.any() and len(of_log) else None
        if covisit is not None:
            count = self.statistics.count
            often[np.ix_(known, of_log)] = covisit.together(source[known], target[of_log], count)
        return often

    @cached_property
    def share_before(self) -> FloatArray:
        """Share [I + 1] of all events that is about items chosen more often; of equal ones the first comes first."""
        count = self.statistics.count
        order = np.argsort(-count, kind="stable")
        share = np.empty(len(count))
        share[order] = (np.cumsum(count[order]) - count[order]) / max(float(count.sum()), 1.0)
        return share

    @cached_property
    def value_counts(self) -> Counter[Value]:
        """How many items of the catalogue have each value."""
        return Counter(value for item in islice(self._catalogue(), SAMPLE) for value in values_of(item))

    @property
    def items_counted(self) -> int:
        """How many items `value_counts` is over."""
        return min(SAMPLE, self.unknown)

    @cached_property
    def _position(self) -> Mapping[str, int]:
        return {item_id: position for position, item_id in enumerate(self._item_ids)}


def values_of(item: Item) -> Iterator[Value]:
    """What an item may share with others: texts of any metadata field, but neither numbers nor descriptions."""
    for name, value in item.metadata.items():
        for text in (value,) if isinstance(value, str) else value if isinstance(value, tuple) else ():
            if len(text) <= LONGEST and not text.isdecimal():
                yield name, text


def taken(statistics: ItemStatistics, entries: Sequence[HistoryEntry]) -> list[HistoryEntry]:
    """Events without those that say no to their items: nothing is recommended for being near to these."""

    def no(entry: HistoryEntry) -> bool:
        given = event_types.rating(entry.event_type, entry.value)
        low = given is not None and (given - statistics.value_mean) / statistics.value_scale <= LOW
        return low or event_types.polarity(entry.event_type, entry.value) == event_types.NEGATIVE

    return [entry for entry in entries if not no(entry)]


def ratings_of(history: History) -> FloatArray:
    """Values of the events that prompts show as ratings."""
    rated = [entry.value for entry in history.entries if entry.value is not None and rating(entry)]
    return np.array(rated, dtype=np.float64)
