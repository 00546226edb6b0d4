"""What a source is: a catalogue and a log that can be read in batches, in whatever format they come."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt

from genrec.artifacts.alternatives import Alternatives
from genrec.domain import Item
from genrec.errors import DataError

SHOWN = 20
"""How many bad rows are kept to be shown; all are counted."""
COUNTED = 1000
"""After this many bad rows more than allowed the file is taken to be wrong as a whole."""


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be read: `place` is 'file, line 7'; `problem` says what was expected."""

    place: str
    problem: str


@dataclass
class BadRows:
    """What a reader could not use: bad rows, counted, and columns."""

    allowed: int = 0
    count: int = 0
    shown: list[BadRow] = field(default_factory=list)
    unused: dict[str, None] = field(default_factory=dict)
    """Columns of the log that are not read, in the order of the file."""

    def add(self, place: str, problem: str) -> None:
        """Notes a row. DataError once there are so many that reading on is pointless."""
        self.count += 1
        if len(self.shown) < SHOWN:
            self.shown.append(BadRow(place, problem))
        if self.count >= self.allowed + COUNTED:
            raise DataError(
                f"{self.describe()}\n  stopped reading at {self.count} bad rows",
                "most rows are wrong: compare the columns and their order with what is expected",
            )

    def describe(self) -> str:
        """The bad rows as lines of text."""
        lines = [f"{self.count} bad row{'s' if self.count != 1 else ''}:"]
        lines += [f"  {row.place}: {row.problem}" for row in self.shown]
        if self.count > len(self.shown):
            lines.append(f"  and {self.count - len(self.shown)} more")
        return "\n".join(lines)


@dataclass(frozen=True, eq=False)
class EventBatch:
    """Some events in the order of the file, as columns of equal length n.

    `user_id`, `item_id`: Arrow arrays of text without nulls. `timestamp` [n] in seconds. `value` [n], NaN where there
    is none. `event_type`, `event_id`, `request_id`: Arrow arrays of text with nulls, or None where the source has no
    such column. `line` [n] counts as `unit` says ('line' or 'row'), from 1. `share`: how much of the source was read,
    0 to 1.
    """

    file: str
    unit: str
    line: npt.NDArray[np.int64]
    user_id: Any
    item_id: Any
    timestamp: npt.NDArray[np.float64]
    value: npt.NDArray[np.float64] | None
    event_type: Any
    event_id: Any
    request_id: Any
    share: float

    def place(self, row: int) -> str:
        """Where a row stands, for messages."""
        return f"{self.file}, {self.unit} {self.line[row]}"


class Source(Protocol):
    """One input, whatever its format. Reading is lazy: both methods stream, and may be called again.

    One alternative is one module of `genrec.data.sources` with a class that satisfies this.
    """

    @classmethod
    def of(cls, path: Path, items: Path | None = None) -> Self:
        """The source of a folder or file; `items` is the catalogue of formats that have it elsewhere. Reads nothing."""

    @property
    def name(self) -> str:
        """Name of the log, for messages and the report."""

    @property
    def has_items(self) -> bool:
        """Whether there is a catalogue; without one the items are made from the ids in the log."""

    def items(self, bad: BadRows) -> Iterator[Item]:
        """The catalogue with distinct ids. Rows that cannot be read go to `bad`; DataError for a file that is wrong."""

    def events(self, bad: BadRows) -> Iterator[EventBatch]:
        """The log in the order of the file. Rows that cannot be read go to `bad`; DataError as above."""


SOURCES: Alternatives[Source] = Alternatives("data source", "genrec.data.sources", Source)
