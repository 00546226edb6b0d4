"""The stored log as arrays. Apart from the store: numpy takes long to load, and most commands need no arrays."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any

import numpy as np

from genrec.data.interactions import Interactions
from genrec.data.ratings import NONE
from genrec.data.sqlite.schema import Connection

_EVENT_ROW = np.dtype([("user", "i4"), ("item", "i4"), ("timestamp", "f8"), ("value", "f8"), ("type", "i4")])


def read(connection: Connection) -> Interactions:
    """All events of a database as they are stored, on no scale yet; inside of a transaction, so that users, items and
    events are of one state.
    """
    users = connection.execute("SELECT id, external FROM users ORDER BY id").fetchall()
    items = connection.execute("SELECT id, external FROM items ORDER BY id").fetchall()
    types = connection.execute("SELECT id, name FROM event_types ORDER BY id").fetchall()
    # numpy cannot read NULL as a number; no stored value is infinite.
    events = np.fromiter(
        connection.execute("SELECT user, item, timestamp, coalesce(value, 9e999), type FROM events ORDER BY id"),
        dtype=_EVENT_ROW,
    )
    user_keys, user_ids = _columns(users)
    item_keys, item_ids = _columns(items)
    type_keys, type_names = _columns(types)
    value = events["value"].copy()
    value[np.isinf(value)] = np.nan
    return Interactions.from_columns(
        user_ids,
        item_ids,
        np.searchsorted(user_keys, events["user"]).astype(np.int32),
        np.searchsorted(item_keys, events["item"]).astype(np.int32),
        events["timestamp"],
        value,
        np.searchsorted(type_keys, events["type"]).astype(np.int32),
        tuple(type_names.tolist()),
        NONE,
    )


def fingerprint(items: Iterable[tuple[Any, ...]], events: Interactions) -> str:
    """Hash of a catalogue, as rows of the store, and its log."""
    digest = hashlib.sha256()
    for item in items:
        digest.update(json.dumps(item).encode())
    digest.update(json.dumps(events.user_ids.tolist()).encode())
    # By name: the numbers of the types differ with the order in which they were first seen.
    names = sorted({events.event_types[kind] for kind in np.unique(events.event_type)})
    place = np.array([names.index(name) if name in names else -1 for name in events.event_types], dtype=np.int32)
    digest.update(json.dumps(names).encode())
    for column in (events.user, events.item, events.timestamp, events.raw, place[events.event_type]):
        digest.update(np.ascontiguousarray(column).data)
    return digest.hexdigest()


def _columns(rows: list[tuple[int, str]]) -> tuple[np.ndarray[Any, np.dtype[np.int64]], np.ndarray[Any, np.dtype[Any]]]:
    keys = np.fromiter((key for key, _ in rows), dtype=np.int64, count=len(rows))
    ids = np.empty(len(rows), dtype=object)
    ids[:] = [external for _, external in rows]
    return keys, ids
