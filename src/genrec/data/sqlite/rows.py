"""Rows of the database as items, events and exposures, and what may be stored in them."""

from __future__ import annotations

import json
import math
import sqlite3

from genrec.data.store import Exposure
from genrec.domain import Assignment, Event, Item
from genrec.errors import DataError, NotFoundError

ITEM_COLUMNS = "i.external, i.title, i.metadata, i.sponsored, i.hidden, i.expires"
EXPOSURE_COLUMNS = (
    "request_id, user, items, timestamp, template_id, template_version, template_hash, propensities,"
    " prefix_propensities, experiment, arm, arm_shares"
)


def item_row(item: Item) -> tuple[str, str, str, bool, bool, float | None]:
    """The columns external, title, metadata, sponsored, hidden and expires; DataError if they cannot be stored."""
    try:
        if not all(_is_metadata(value) for value in item.metadata.values()):
            raise TypeError
        metadata = json.dumps(dict(item.metadata), ensure_ascii=False, allow_nan=False)
        metadata.encode()
    except (TypeError, ValueError):
        raise DataError("the metadata of an item is no text, finite number or list of texts", "fix the item") from None
    if item.expires is not None and not math.isfinite(item.expires):
        raise DataError("the moment at which an item expires is not finite", "give seconds since the epoch, or nothing")
    texts = valid_text(item.id, "item id"), valid_text(item.title, "title"), metadata
    return *texts, item.sponsored, item.hidden, item.expires


def odds_text(odds: tuple[float, ...] | None, exposure: Exposure) -> str | None:
    if odds is None:
        return None
    if len(odds) != len(exposure.item_ids) or not all(0 < p <= 1 for p in odds):
        raise DataError(
            "an exposure has propensities that are not one in (0, 1] for each item",
            "give the probability with which the policy showed each item, or none",
        )
    return json.dumps(odds)


def assigned(assignment: Assignment | None) -> tuple[str | None, str | None, str | None]:
    if assignment is None:
        return None, None, None
    return assignment.experiment, assignment.arm, json.dumps(dict(assignment.shares))


def _is_metadata(value: object) -> bool:
    if isinstance(value, tuple | list):
        return all(isinstance(part, str) for part in value)
    return isinstance(value, str | float | int) and not isinstance(value, bool)


def exposure_of(
    request_id: str,
    user: str | None,
    items: str,
    timestamp: float,
    template: str | None,
    version: int | None,
    digest: str | None,
    propensities: str | None,
    prefix_propensities: str | None,
    experiment: str | None,
    arm: str,
    shares: str,
) -> Exposure:
    place, prefix = (None if text is None else tuple(json.loads(text)) for text in (propensities, prefix_propensities))
    assigned = None if experiment is None else Assignment(experiment, arm, json.loads(shares))
    shown = tuple(json.loads(items))
    return Exposure(request_id, user, shown, timestamp, template, version, digest, place, prefix, assigned)


def item_of(
    external: str, title: str, metadata: str, sponsored: int, hidden: int = 0, expires: float | None = None
) -> Item:
    fields = {} if metadata == "{}" else json.loads(metadata, parse_int=float)
    for name, value in fields.items():
        if isinstance(value, list):
            fields[name] = tuple(value)
    return Item(external, title, fields, bool(sponsored), bool(hidden), expires)


def key_of(connection: sqlite3.Connection, table: str, column: str, name: str) -> int:
    """The integer key of a user or event type, made if needed."""
    row = connection.execute(f"SELECT id FROM {table} WHERE {column} = ?", (name,)).fetchone()  # noqa: S608
    if row is None:
        row = connection.execute(f"INSERT INTO {table} ({column}) VALUES (?) RETURNING id", (name,)).fetchone()  # noqa: S608
    return int(row[0])


def check_event(event: Event) -> None:
    valid_text(event.user_id, "user id")
    valid_text(event.item_id, "item id")
    valid_text(event.event_type, "event type")
    for name, optional in (("event id", event.event_id), ("request id", event.request_id)):
        if optional is not None:
            valid_text(optional, name)
    if not math.isfinite(event.timestamp):
        raise DataError("the timestamp of an event is not finite", "give seconds since the epoch")
    if event.value is not None and not math.isfinite(event.value):
        raise DataError("the value of an event is not finite", "leave it out where there is none")


def valid_text(value: str, name: str) -> str:
    try:
        if isinstance(value, str) and value.encode():
            return value
    except UnicodeEncodeError:
        pass
    raise DataError(f"the {name} is empty or no valid text", "give a text that is not empty, in UTF-8")


def unknown_item(item_id: str) -> NotFoundError:
    return NotFoundError(f"the catalogue has no item {item_id!r}", "add it first, or check the id")
