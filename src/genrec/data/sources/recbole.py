"""Atomic files of RecBole: NAME.inter and NAME.item, tab-separated, with headers of the form name:type."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import pyarrow as pa

from genrec.data import columns
from genrec.data.files import Chunk, read_delimited
from genrec.data.sources.base import BadRows, EventBatch
from genrec.domain import Item
from genrec.errors import DataError

_TYPES = ("token", "token_seq", "float", "float_seq")
_TITLES = ("title", "movie_title", "item_name", "item_title", "name")
_RENAMED = {"class": "genres", "genre": "genres", "release_year": "year"}
"""Names of RecBole's own conversions that say less than what they hold."""


@dataclass(frozen=True)
class RecBole:
    """A folder with one .inter file and, if there is one, the .item file of the same name."""

    folder: Path
    timestamp_unit: columns.TimestampUnit = "s"

    @classmethod
    def of(cls, path: Path, items: Path | None = None) -> Self:
        """See `Source.of`."""
        return cls(path)

    @property
    def name(self) -> str:
        """See `Source.name`."""
        return self._interactions().name

    @property
    def has_items(self) -> bool:
        """See `Source.has_items`."""
        return self._item_file().is_file()

    def items(self, bad: BadRows) -> Iterator[Item]:
        """See `Source.items`."""
        path = self._item_file()
        if not path.is_file():
            return iter(())
        chunks = read_delimited(path, bad, delimiter="\t", quoted=False)
        return columns.items(path.name, (_with_title(_typed(chunk)) for chunk in chunks), bad)

    def events(self, bad: BadRows) -> Iterator[EventBatch]:
        """See `Source.events`."""
        chunks = read_delimited(self._interactions(), bad, delimiter="\t", quoted=False)
        return columns.events(
            self.name, map(_typed, chunks), bad, timestamp_unit=self.timestamp_unit, event_type=self._event_type()
        )

    def _event_type(self) -> str | None:
        """What people did: RecBole has no column for it, but films are named as such."""
        path = self._item_file()
        if not path.is_file():
            return None
        with path.open(encoding="utf-8", errors="replace") as file:
            return "watch" if "movie_title:" in file.readline() else None

    def _interactions(self) -> Path:
        found = sorted(self.folder.glob("*.inter"))
        if len(found) != 1:
            raise DataError(
                f"{self.folder} has {len(found)} files *.inter; expected one", "give the folder of one RecBole data set"
            )
        return found[0]

    def _item_file(self) -> Path:
        return self._interactions().with_suffix(".item")


def _typed(chunk: Chunk) -> Chunk:
    """Takes the types off the names; sequences become lists."""
    typed = {}
    for header, column in chunk.columns.items():
        name, _, kind = header.partition(":")
        if kind not in _TYPES:
            raise DataError(
                f"{chunk.file}, line 1: the column {header} has no type; expected name:type",
                f"the types are {', '.join(_TYPES)}",
            )
        if kind.endswith("_seq") and name not in _TITLES:
            column = pa.array([text.split(" ") if text else [] for text in column.to_pylist()], pa.list_(pa.string()))
        typed[_RENAMED.get(name, name)] = column
    return replace(chunk, columns=typed)


def _with_title(chunk: Chunk) -> Chunk:
    found = next((name for name in _TITLES if name in chunk.columns), None)
    if found is None:
        raise DataError(f"{chunk.file} has no column with titles", f"name one of the columns {_TITLES[0]}:token_seq")
    return replace(chunk, columns={"title" if name == found else name: c for name, c in chunk.columns.items()})
