"""Streaming readers: delimited text, JSON lines and Parquet become chunks of named columns with line numbers."""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from genrec.data.sources.base import BadRows
from genrec.errors import DataError

ROWS = 131_072
"""Rows in a chunk: large enough for columns to pay off, small enough for a bounded memory."""
PARQUET_ROWS = 524_288
"""Columns need less memory than rows of text, and larger chunks repeat fewer ids."""


@dataclass(frozen=True, eq=False)
class Chunk:
    """Rows of a file: `columns` by name (Arrow arrays), the `line` [n] of each, `share` of the file read so far.

    `unread` are the columns that the file has besides.
    """

    file: str
    unit: str
    columns: dict[str, Any]
    line: npt.NDArray[np.int64]
    share: float
    unread: tuple[str, ...] = ()

    def place(self, row: int) -> str:
        """Where a row stands, for messages."""
        return f"{self.file}, {self.unit} {self.line[row]}"


def read_delimited(
    path: Path,
    bad: BadRows,
    *,
    delimiter: str = ",",
    names: Sequence[str] | None = None,
    encoding: str = "utf-8",
    quoted: bool = True,
) -> Iterator[Chunk]:
    """Reads text with one row a line, all columns as text; '.gz' is unpacked on the way.

    `names` are the columns of a file without a header. A delimiter may be longer than one character where nothing is
    quoted. The standard csv reader and not Arrow's: it knows the line of every row, in quotes and after errors too.
    """
    with _open(path) as (binary, share):
        # Bytes that are no text survive as surrogates, so that they can be told by line.
        text = io.TextIOWrapper(
            binary, encoding="utf-8-sig" if encoding == "utf-8" else encoding, errors="surrogateescape", newline=""
        )
        rows = _Rows(text, delimiter, quoted, path.name)
        if names is None:
            names = _header(path.name, next(rows, None))
        for lines, fields in rows.chunks():
            lines, fields = _full_rows(path.name, lines, fields, len(names), bad)
            lines, fields = _valid_text(path.name, lines, fields, bad)
            columns = zip(*fields, strict=True) if fields else [()] * len(names)
            arrays = {name: pa.array(column, pa.string()) for name, column in zip(names, columns, strict=True)}
            yield Chunk(path.name, "line", arrays, np.array(lines, dtype=np.int64), share())


def read_json_lines(path: Path, bad: BadRows) -> Iterator[Chunk]:
    """Reads one JSON object a line; a field that is missing is null. A chunk has the columns that occur in it."""
    with _open(path) as (binary, share):
        numbered = enumerate(binary, start=1)
        while block := list(islice(numbered, ROWS)):
            lines, rows = [], []
            for line, raw in block:
                if not raw.strip():
                    continue
                try:
                    row = json.loads(raw)
                except UnicodeDecodeError:
                    bad.add(f"{path.name}, line {line}", "is no valid UTF-8")
                    continue
                except ValueError:
                    row = None
                if isinstance(row, dict) and b"\\u" in raw and not _encodes(json.dumps(row, ensure_ascii=False)):
                    row = None  # half of a surrogate pair
                if not isinstance(row, dict):
                    bad.add(f"{path.name}, line {line}", "is no JSON object")
                    continue
                lines.append(line)
                rows.append(row)
            names = dict.fromkeys(name for row in rows for name in row)
            columns = {name: _json_column([row.get(name) for row in rows]) for name in names}
            yield Chunk(path.name, "line", columns, np.array(lines, dtype=np.int64), share())


def read_parquet(path: Path, columns: Iterable[str] | None = None) -> Iterator[Chunk]:
    """Reads a Parquet file by batches: those of `columns` that it has, or all."""
    if not path.is_file():
        raise DataError(f"there is no file {path}", "check the path")
    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path.name} cannot be read as Parquet", "was it copied completely?") from error
    wanted = file.schema_arrow.names if columns is None else [c for c in columns if c in file.schema_arrow.names]
    unread = tuple(name for name in file.schema_arrow.names if name not in wanted)
    read = 0
    try:
        for batch in file.iter_batches(PARQUET_ROWS, columns=wanted):
            line = np.arange(read + 1, read + 1 + batch.num_rows)
            read += batch.num_rows
            arrays = dict(zip(batch.schema.names, batch.columns, strict=True))
            yield Chunk(path.name, "row", arrays, line, read / max(file.metadata.num_rows, 1), unread)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path.name} breaks off after row {read}", "was it copied completely?") from error


class _Rows:
    """Splits text into rows of fields and keeps count of the lines."""

    def __init__(self, text: io.TextIOWrapper, delimiter: str, quoted: bool, file: str) -> None:
        self._file = file
        self._line = 0
        self._csv = csv.reader(text, delimiter=delimiter, strict=True) if quoted else None
        self._split = (line.rstrip("\r\n").split(delimiter) if line.strip() else [] for line in text)

    def __iter__(self) -> Iterator[list[str]]:
        return self

    def __next__(self) -> list[str]:
        return next(iter(self._take(1)[1]))

    def chunks(self) -> Iterator[tuple[Sequence[int], list[list[str]]]]:
        """Pairs of the first line of each row, and the rows; a blank line is a row without fields."""
        while (block := self._take(ROWS))[1]:
            yield block

    def _take(self, n: int) -> tuple[Sequence[int], list[list[str]]]:
        start = self._line
        try:
            rows = list(islice(self._csv or self._split, n))
        except csv.Error as error:
            at = self._csv.line_num if self._csv else start
            raise DataError(
                f"{self._file}, line {at}: {error}",
                "look for a quote that is opened in this row or above and never closed",
            ) from error
        self._line = self._csv.line_num if self._csv else start + len(rows)
        if self._line == start + len(rows):
            return range(start + 1, self._line + 1), rows
        lines, line = [], start + 1
        for row in rows:
            lines.append(line)
            line += 1 + sum(field.count("\n") for field in row)
        return lines, rows


def _header(file: str, fields: list[str] | None) -> list[str]:
    if not fields:
        raise DataError(f"{file} is empty", "the first line must name the columns")
    names = [field.strip() for field in fields]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"{file}, line 1: a column is named twice: {', '.join(twice)}", "rename or remove one of them")
    return names


def _full_rows(
    file: str, lines: Sequence[int], rows: list[list[str]], width: int, bad: BadRows
) -> tuple[Sequence[int], list[list[str]]]:
    """Leaves out blank lines, and rows of another width as bad."""
    if all(len(row) == width for row in rows):
        return lines, rows
    kept_lines, kept = [], []
    for line, row in zip(lines, rows, strict=True):
        if len(row) == width:
            kept_lines.append(line)
            kept.append(row)
        elif row:
            bad.add(f"{file}, line {line}", f"expected {width} columns, found {len(row)}")
    return kept_lines, kept


def _valid_text(
    file: str, lines: Sequence[int], rows: list[list[str]], bad: BadRows
) -> tuple[Sequence[int], list[list[str]]]:
    """Leaves out rows with bytes that are no UTF-8, as bad."""
    broken = {at for at, row in enumerate(rows) if not _encodes("".join(row))}
    if not broken:
        return lines, rows
    for at in sorted(broken):
        bad.add(f"{file}, line {lines[at]}", "is no valid UTF-8")
    kept = [at for at in range(len(rows)) if at not in broken]
    return [lines[at] for at in kept], [rows[at] for at in kept]


def _encodes(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _json_column(values: list[Any]) -> Any:
    """An Arrow array; values of mixed types become text."""
    try:
        return pa.array(values)
    except (pa.ArrowException, OverflowError, TypeError):
        texts = [value if value is None or isinstance(value, str) else json.dumps(value) for value in values]
        return pa.array(texts, pa.string())


@contextmanager
def _open(path: Path) -> Iterator[tuple[BinaryIO, Callable[[], float]]]:
    """The unpacked bytes of a file, and a function that says which share of it was read."""
    try:
        with path.open("rb") as raw:
            size = max(path.stat().st_size, 1)
            unpacked = gzip.GzipFile(fileobj=raw) if path.suffix == ".gz" else raw
            binary = io.BufferedReader(unpacked)
            if binary.peek(2)[:2] in (b"\xff\xfe", b"\xfe\xff"):
                raise DataError(
                    f"{path.name} is in UTF-16; expected UTF-8", f"convert it: iconv -f UTF-16 -t UTF-8 {path.name}"
                )
            yield binary, lambda: raw.tell() / size
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path.name} cannot be unpacked: {error}", "was it copied completely?") from error
    except FileNotFoundError:
        raise DataError(f"there is no file {path}", "check the path") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}", "check the path and its permissions") from error
