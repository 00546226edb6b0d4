"""Text ids become small integers while a source streams by: what import and validation share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from genrec.data.sources.base import BadRows, EventBatch, Source
from genrec.domain import Item
from genrec.errors import DataError

Codes = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class CodedBatch:
    """Columns [n] of events with integer codes from 1. `event_id` and `request_id` are None where there are none."""

    user: Codes
    item: Codes
    timestamp: npt.NDArray[np.float64]
    value: npt.NDArray[np.float64] | None
    type: Codes | None
    event_id: list[str | None] | None
    request_id: list[str | None] | None
    share: float


class Reader:
    """Reads a source once: first `catalogue`, then `events`. Memory grows with users and items, not with events.

    Codes are given in order: items of the source, then those the workspace had before, then (only if the source has
    no catalogue) those made from ids in the log.
    """

    def __init__(self, source: Source, known_items: Iterable[str], bad: BadRows, first_type: str) -> None:
        self._source = source
        self._known = known_items
        self._bad = bad
        self._items: dict[str, int] = {}
        self.users: dict[str, int] = {}
        self.types: dict[str, int] = {first_type: 1}
        self.of_source = 0
        """Items with a code up to this one come from the catalogue of the source."""
        self.before_made = 0
        """Items with a code above this one are made from ids in the log."""
        self.has_event_ids = False

    def catalogue(self) -> Iterator[tuple[int, Item]]:
        """Items of the source with their codes."""
        for code, item in enumerate(self._source.items(self._bad), start=1):
            self._items[item.id] = code
            yield code, item
        self.of_source = len(self._items)
        for item_id in self._known:
            self._items.setdefault(item_id, len(self._items) + 1)
        self.before_made = len(self._items)

    def other_items(self) -> Iterator[tuple[int, str]]:
        """Codes and ids of the items that do not come from the catalogue of the source."""
        return ((code, item_id) for item_id, code in self._items.items() if code > self.of_source)

    def events(self) -> Iterator[CodedBatch]:
        """The log; rows with an item that nobody knows go to the bad rows. DataError if no event is left."""
        left = 0
        for batch in self._source.events(self._bad):
            item = _encode(batch.item_id, self._item_code)
            known = item > 0
            if not known.all():
                for row in np.flatnonzero(~known):
                    self._bad.add(batch.place(row), "the item_id is not among the items")
            left += int(known.sum())
            yield self._coded(batch, item, known)
        if not left and not self._bad.count:
            raise DataError(f"{self._source.name} has no events", "check that the right file was given")

    def _item_code(self, item_id: str) -> int:
        if self._source.has_items:
            return self._items.get(item_id, 0)
        return self._items.setdefault(item_id, len(self._items) + 1)

    def _coded(self, batch: EventBatch, item: Codes, known: npt.NDArray[np.bool_]) -> CodedBatch:
        everything = bool(known.all())
        mask = None if everything else pa.array(known)

        def texts(column: Any) -> Any:
            return column if mask is None or column is None else column.filter(mask)

        def listed(column: Any) -> list[str | None] | None:
            return None if column is None or column.null_count == len(column) else texts(column).to_pylist()

        kind = None
        if batch.event_type is not None and batch.event_type.null_count < len(batch.event_type):
            kind = np.maximum(_encode(texts(batch.event_type), _numbering(self.types)), 1)
        event_id = listed(batch.event_id)
        self.has_event_ids |= event_id is not None
        return CodedBatch(
            user=_encode(texts(batch.user_id), _numbering(self.users)),
            item=item if everything else item[known],
            timestamp=batch.timestamp[known],
            value=None if batch.value is None else batch.value[known],
            type=kind,
            event_id=event_id,
            request_id=listed(batch.request_id),
            share=batch.share,
        )


def _numbering(codes: dict[str, int]) -> Callable[[str], int]:
    return lambda text: codes.setdefault(text, len(codes) + 1)


def _encode(texts: Any, code: Callable[[str], int]) -> Codes:
    """Codes [n]; 0 for null. Calls `code` once for each distinct text."""
    encoded = pc.dictionary_encode(texts)
    distinct = np.array([code(text) for text in encoded.dictionary.to_pylist()] + [0], dtype=np.int64)
    return np.asarray(distinct[encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)])
