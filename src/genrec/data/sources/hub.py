"""Whatever the library `datasets` opens from disk: saved data sets, and folders of files it knows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from genrec.data import columns
from genrec.data.files import ROWS, Chunk
from genrec.data.sources.base import BadRows, EventBatch
from genrec.domain import Item
from genrec.errors import DataError, MissingExtraError


@dataclass(frozen=True)
class Hub:
    """A saved data set of events and, if there is one, another of items; columns as in `tables`. Reads all splits."""

    interactions: Path
    items_folder: Path | None = None
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
        return self.items_folder is not None

    def items(self, bad: BadRows) -> Iterator[Item]:
        """See `Source.items`."""
        if self.items_folder is None:
            return iter(())
        return columns.items(self.items_folder.name, _chunks(self.items_folder), bad)

    def events(self, bad: BadRows) -> Iterator[EventBatch]:
        """See `Source.events`."""
        return columns.events(
            self.name,
            _chunks(self.interactions),
            bad,
            timestamp_unit=self.timestamp_unit,
            value_column=self.value_column,
        )


def _chunks(folder: Path) -> Iterator[Chunk]:
    splits = _open(folder)
    rows = sum(split.num_rows for split in splits.values())
    read = 0
    for name, split in splits.items():
        place = f"{folder.name}[{name}]" if name else folder.name
        line = 0
        for table in split.with_format("arrow").iter(batch_size=ROWS):
            arrays = {column: table.column(column).combine_chunks() for column in table.column_names}
            numbers = np.arange(line + 1, line + 1 + table.num_rows)
            line += table.num_rows
            read += table.num_rows
            yield Chunk(place, "row", arrays, numbers, read / max(rows, 1))


def _open(folder: Path) -> dict[str, Any]:
    try:
        import datasets
    except ImportError:
        raise MissingExtraError("this needs the library datasets", "install it: pip install datasets") from None
    if not folder.exists():
        raise DataError(f"there is no folder {folder}", "give what Dataset.save_to_disk wrote, or a folder of files")
    saved = (folder / "state.json").is_file() or (folder / "dataset_dict.json").is_file()
    try:
        found = datasets.load_from_disk(str(folder)) if saved else datasets.load_dataset(str(folder))
    except Exception as error:  # the library raises whatever its readers raise
        raise DataError(
            f"{folder} cannot be opened as a data set ({type(error).__name__})",
            "give what Dataset.save_to_disk wrote, or a folder of files that datasets.load_dataset knows",
        ) from error
    return dict(found) if isinstance(found, datasets.DatasetDict) else {"": found}
