"""Plain tables: CSV, JSON lines or Parquet with the columns user_id, item_id, timestamp and item_id, title."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from genrec.data import columns
from genrec.data.files import Chunk, read_delimited, read_json_lines, read_parquet
from genrec.data.sources.base import BadRows, EventBatch
from genrec.domain import Item
from genrec.errors import DataError


@dataclass(frozen=True)
class Tables:
    """A file of events and, if there is one, a file of items. CSV and JSON lines may be packed with gzip.

    Events: user_id, item_id, timestamp, and perhaps value (or rating), event_type, event_id, request_id.
    Items: item_id, title, and perhaps sponsored; every other column is metadata.
    """

    interactions: Path
    items_file: Path | None = None
    timestamp_unit: columns.TimestampUnit = "s"
    value_column: str | None = None

    @classmethod
    def of(cls, path: Path, items: Path | None = None) -> Self:
        """See `Source.of`."""
        return cls(path, items)

    @property
    def name(self) -> str:
        """See `Source.name`."""
        return self.interactions.name

    @property
    def has_items(self) -> bool:
        """See `Source.has_items`."""
        return self.items_file is not None

    def items(self, bad: BadRows) -> Iterator[Item]:
        """See `Source.items`."""
        if self.items_file is None:
            return iter(())
        return columns.items(self.items_file.name, _read(self.items_file, bad), bad)

    def events(self, bad: BadRows) -> Iterator[EventBatch]:
        """See `Source.events`."""
        wanted = [*columns.EVENT_COLUMNS, *([self.value_column] if self.value_column else [])]
        chunks = _read(self.interactions, bad, wanted)
        return columns.events(
            self.name, chunks, bad, timestamp_unit=self.timestamp_unit, value_column=self.value_column
        )


def _read(path: Path, bad: BadRows, wanted: Iterable[str] | None = None) -> Iterator[Chunk]:
    kind = path.name.lower().removesuffix(".gz")
    if kind.endswith((".csv", ".tsv", ".txt")):
        return read_delimited(path, bad, delimiter="," if kind.endswith(".csv") else "\t")
    if kind.endswith((".jsonl", ".ndjson", ".json")):
        return read_json_lines(path, bad)
    if kind.endswith((".parquet", ".pq")):
        return read_parquet(path, wanted)
    raise DataError(f"{path.name}: the format is not known by the name", "name it .csv, .tsv, .jsonl or .parquet")
