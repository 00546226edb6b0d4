"""Columns as they come become events and items: names and types are checked, and bad rows told by line."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from genrec.data.files import Chunk
from genrec.data.sources.base import BadRows, EventBatch
from genrec.domain import LATEST_TIMESTAMP, Item, MetadataValue
from genrec.errors import DataError

TimestampUnit = Literal["s", "ms", "us", "ns"]
AMOUNTS = {
    **dict.fromkeys(("ms_played", "msplayed", "seconds_played", "play_count", "plays", "playcount"), "listen"),
    **dict.fromkeys(("playtime", "playtime_forever", "playtime_2weeks", "hours", "hours_played"), "play"),
    **dict.fromkeys(("watch_time", "play_duration", "duration", "dwell_time", "seconds"), "view"),
    **dict.fromkeys(("quantity", "price", "amount", "revenue"), "buy"),
}
"""Names of columns that hold amounts, with what people did: it is the type of events that are given none."""
EVENT_COLUMNS = ("user_id", "item_id", "timestamp", "value", "rating", "event_type", "event_id", "request_id")

_PER_SECOND = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}
_UNIT_NAMES = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}
_FLAGS = {"true": 1.0, "yes": 1.0, "false": 0.0, "no": 0.0}
_YES = {"1", "true", "yes", "1.0"}
_NO = {"", "0", "false", "no", "0.0"}
_EXPECTED = {
    "user_id": "user_id must be text or a whole number, and not empty",
    "item_id": "item_id must be text or a whole number, and not empty",
    "timestamp": "timestamp must be a number of seconds or an ISO 8601 date",
    "value": "value must be a finite number, true, false or empty",
}


def events(
    file: str,
    chunks: Iterable[Chunk],
    bad: BadRows,
    *,
    timestamp_unit: TimestampUnit = "s",
    event_type: str | None = None,
    value_column: str | None = None,
) -> Iterator[EventBatch]:
    """Chunks with the columns user_id, item_id, timestamp and perhaps others of `EVENT_COLUMNS` become event batches.

    `event_type` is the type of all events of a source that has no such column but knows what people did. `value_column`
    is the column to take values from. What is not used is told to `bad`.
    DataError for a missing column, a column of a wrong type, no rows at all, or timestamps in a finer unit than said.
    """
    rows = 0
    if value_column is not None:
        event_type = event_type or AMOUNTS.get(value_column.lower())
    for chunk in chunks:
        if not len(chunk.line):
            continue
        rows += len(chunk.line)
        if value_column is not None:
            chunk = _with_value(chunk, value_column)
        _require(chunk, ("user_id", "item_id", "timestamp"))
        bad.unused |= dict.fromkeys((*(name for name in chunk.columns if name not in EVENT_COLUMNS), *chunk.unread))
        batch = _event_batch(chunk, bad, timestamp_unit)
        if event_type is not None and batch.event_type is None:
            batch = replace(batch, event_type=pa.repeat(event_type, len(batch.timestamp)))
        yield batch
    if not rows and not bad.count:
        raise DataError(f"{file} has no rows; expected events", "check that the right file was given")


def _with_value(chunk: Chunk, name: str) -> Chunk:
    """The chunk with the values of another column."""
    _require(chunk, (name,))
    columns = {key: column for key, column in chunk.columns.items() if key not in (name, "value")}
    return replace(chunk, columns={**columns, "value": chunk.columns[name]})


def _event_batch(chunk: Chunk, bad: BadRows, unit: TimestampUnit) -> EventBatch:
    user_id, user_bad = _ids(chunk, "user_id")
    item_id, item_bad = _ids(chunk, "item_id")
    timestamp = _timestamps(chunk, unit)
    faults = [("user_id", user_bad), ("item_id", item_bad), ("timestamp", ~(np.abs(timestamp) <= LATEST_TIMESTAMP))]
    value = None
    if name := next((name for name in ("value", "rating") if name in chunk.columns), None):
        value, value_bad = _numbers(chunk, name, flags=True)
        faults.append(("value", value_bad | np.isinf(value)))
    keep = _report(chunk, faults, bad)
    kept = None if keep.all() else pa.array(keep)

    def column(name: str) -> Any:
        texts = _texts(chunk, name) if name in chunk.columns else None
        return texts if texts is None or kept is None else texts.filter(kept)

    return EventBatch(
        chunk.file,
        chunk.unit,
        chunk.line[keep],
        user_id if kept is None else user_id.filter(kept),
        item_id if kept is None else item_id.filter(kept),
        timestamp[keep],
        None if value is None else value[keep],
        column("event_type"),
        column("event_id"),
        column("request_id"),
        chunk.share,
    )


def items(file: str, chunks: Iterable[Chunk], bad: BadRows) -> Iterator[Item]:
    """Chunks with the columns item_id, title and perhaps sponsored, hidden and expires become items.

    Other columns are metadata. Text, numbers and lists of texts stay what they are; empty fields are left out. An id
    that comes again is a bad row.
    DataError for a missing column, a column of a wrong type, or no rows at all.
    """
    seen: set[str] = set()
    for chunk in chunks:
        if not len(chunk.line):
            continue
        _require(chunk, ("item_id", "title"))
        ids, empty = _ids(chunk, "item_id")
        keep = _report(chunk, [("item_id", empty)], bad)
        columns = {name: column.to_pylist() for name, column in chunk.columns.items() if name != "item_id"}
        for row, item_id in enumerate(ids.to_pylist()):
            if not keep[row]:
                continue
            problem = "the item_id is there already" if item_id in seen else None
            item = None
            if problem is None:
                item = _item(item_id, {name: values[row] for name, values in columns.items()})
                problem = item if isinstance(item, str) else None
            if isinstance(item, Item):
                seen.add(item_id)
                yield item
            else:
                bad.add(chunk.place(row), str(problem))
    if not seen and not bad.count:
        raise DataError(f"{file} has no rows; expected items", "check that the right file was given")


def _item(item_id: str, fields: dict[str, Any]) -> Item | str:
    """The item, or what is wrong with it."""
    title = fields.pop("title")
    if not isinstance(title, str) or not title.strip():
        return "title must be text, and not empty"
    flags: dict[str, bool] = {}
    for name in ("sponsored", "hidden"):
        said = str(fields.pop(name, None) or "").strip().lower()
        if said not in _YES | _NO:
            return f"{name} must be true, false or empty"
        flags[name] = said in _YES
    expires = _moment(fields.pop("expires", None))
    if isinstance(expires, str):
        return expires
    metadata: dict[str, MetadataValue] = {}
    for name, value in fields.items():
        known = metadata_value(value)
        if known is None:
            return f"{name} must be text, a number, or a list of texts"
        if known != "" and known != ():
            metadata[name] = known
    return Item(item_id, title.strip(), metadata, flags["sponsored"], flags["hidden"], expires)


def _moment(value: Any) -> float | str | None:
    """Seconds since the epoch from a number or a date, None for nothing; or what is wrong with it."""
    if isinstance(value, datetime):
        value = value.isoformat()
    text = "" if value is None else str(value).strip()
    if text in ("", "nan", "None"):
        return None
    number = _number(text, {})
    seconds = _date(text) if number is None else number
    if not abs(seconds) <= LATEST_TIMESTAMP:
        return "expires must be a number of seconds, an ISO 8601 date, or empty"
    return seconds


def metadata_value(value: Any) -> MetadataValue | None:
    """What an item carries for a raw value; '' for none, None for what cannot be carried."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, list | tuple):
        return tuple(str(part) for part in value if part is not None)
    return None if isinstance(value, dict | bytes) else str(value)


def _require(chunk: Chunk, names: Iterable[str]) -> None:
    missing = [name for name in names if name not in chunk.columns]
    if missing:
        raise DataError(
            f"{chunk.file} has no column {' and no column '.join(missing)}; it has: {', '.join(chunk.columns)}",
            f"rename the columns: {', '.join(names)} are needed",
        )


def _report(chunk: Chunk, faults: list[tuple[str, npt.NDArray[np.bool_]]], bad: BadRows) -> npt.NDArray[np.bool_]:
    """Reports each faulty row once, with its first fault; returns the rows without one."""
    faulty = np.logical_or.reduce([mask for _, mask in faults])
    for row in np.flatnonzero(faulty):
        bad.add(chunk.place(row), _EXPECTED[next(name for name, mask in faults if mask[row])])
    return np.asarray(~faulty)


def _texts(chunk: Chunk, name: str) -> Any:
    """A column as Arrow text; '' becomes null. DataError if it is neither text nor whole numbers."""
    column = chunk.columns[name]
    kind = column.type.value_type if pt.is_dictionary(column.type) else column.type
    if pt.is_null(kind):
        return pa.nulls(len(column), pa.string())
    if not (pt.is_string(kind) or pt.is_large_string(kind) or pt.is_string_view(kind) or pt.is_integer(kind)):
        raise DataError(
            f"{chunk.file}: the column {name} is of type {kind}; expected text or whole numbers", "convert the column"
        )
    texts = column.cast(pa.string())
    if not pt.is_integer(kind):
        try:
            texts.validate(full=True)
        except pa.ArrowInvalid:
            raise DataError(f"{chunk.file}: the column {name} is no valid UTF-8", "write the file as UTF-8") from None
    return pc.if_else(pc.equal(texts, ""), pa.scalar(None, pa.string()), texts)


def _ids(chunk: Chunk, name: str) -> tuple[Any, npt.NDArray[np.bool_]]:
    texts = _texts(chunk, name)
    return texts, _mask(pc.is_null(texts))


def _numbers(chunk: Chunk, name: str, *, flags: bool = False) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """A column as numbers, NaN where it is empty; and where there is something that is no number.

    With `flags` true and yes are 1, false and no are 0.
    """
    column = chunk.columns[name]
    kind = column.type
    valid = np.zeros(len(column), dtype=np.bool_)
    if flags and pt.is_boolean(kind):
        column, kind = column.cast(pa.int8()), pa.int8()
    if pt.is_integer(kind) or pt.is_floating(kind) or pt.is_decimal(kind) or pt.is_null(kind):
        return _floats(column), valid
    if not (pt.is_string(kind) or pt.is_large_string(kind)):
        raise DataError(f"{chunk.file}: the column {name} is of type {kind}; expected numbers", "convert the column")
    try:
        return _floats(pc.if_else(pc.equal(column, ""), pa.scalar(None, kind), column)), valid
    except pa.ArrowInvalid:
        numbers = [_number(text, _FLAGS if flags else {}) for text in column.to_pylist()]
        invalid = np.array([number is None for number in numbers])
        return np.array([math.nan if number is None else number for number in numbers]), invalid


def _floats(column: Any) -> npt.NDArray[np.float64]:
    numbers = column.cast(pa.float64(), safe=False)
    return np.array(numbers.to_numpy(zero_copy_only=False), dtype=np.float64)


def _number(text: str | None, words: Mapping[str, float]) -> float | None:
    """The number in a text or that of a word, NaN if the text is empty, None if it has something else."""
    try:
        return float(text) if text and text.strip() else math.nan
    except ValueError:
        return None if text is None else words.get(text.strip().lower())


def _timestamps(chunk: Chunk, unit: TimestampUnit) -> npt.NDArray[np.float64]:
    """Seconds, NaN where there is neither a number nor a date."""
    column = chunk.columns["timestamp"]
    if pt.is_timestamp(column.type) or pt.is_date(column.type):
        return _floats(column.cast(pa.timestamp("us")).cast(pa.int64())) / _PER_SECOND["us"]
    numbers, invalid = _numbers(chunk, "timestamp")
    seconds = _seconds(chunk.file, numbers, unit)
    if invalid.any():
        rows = np.flatnonzero(invalid)
        seconds[rows] = [_date(text) for text in column.take(rows).to_pylist()]
    return seconds


def _date(text: str) -> float:
    """Seconds of an ISO 8601 date (UTC if it names no zone), NaN if it is none."""
    try:
        date = datetime.fromisoformat(text.strip())
    except ValueError:
        return math.nan
    return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()


def _seconds(file: str, timestamp: npt.NDArray[np.float64], unit: TimestampUnit) -> npt.NDArray[np.float64]:
    seconds = timestamp / _PER_SECOND[unit]
    finite = np.abs(timestamp[np.isfinite(timestamp)])
    middle = float(np.median(finite)) if len(finite) else 0.0
    if middle / _PER_SECOND[unit] > LATEST_TIMESTAMP:
        finer = next((name for name, per in _PER_SECOND.items() if middle / per <= LATEST_TIMESTAMP), "ns")
        raise DataError(
            f"{file}: the timestamps seem to be in {_UNIT_NAMES[finer]}; expected {_UNIT_NAMES[unit]}",
            f"say so: --timestamp-unit {finer}",
        )
    return seconds


def _mask(array: Any) -> npt.NDArray[np.bool_]:
    return np.array(array.to_numpy(zero_copy_only=False), dtype=np.bool_)
