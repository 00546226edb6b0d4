"""Catalogue, event log and exposures on SQLite with write-ahead logging."""

from __future__ import annotations

import json
import math
import os
import sqlite3
import threading
import time
import uuid
import weakref
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from genrec.data.event_types import NEUTRAL, EventCount, EventTypes, is_click, meaning_of, polarity
from genrec.data.sqlite import schema
from genrec.data.store import Exposure
from genrec.data.traces import Trace
from genrec.domain import Assignment, Event, History, HistoryEntry, Item
from genrec.errors import DataError, NotFoundError, WorkspaceError
from genrec.settings import ScoringSettings

if TYPE_CHECKING:
    from genrec.data.interactions import Interactions
    from genrec.data.ratings import RatingScale

_COUNTED = ("users", "items", "events", "exposures")
_ITEM = "i.external, i.title, i.metadata, i.sponsored, i.hidden, i.expires"
_EXPOSURE = (
    "request_id, user, items, timestamp, template_id, template_version, template_hash, propensities,"
    " prefix_propensities, experiment, arm, arm_shares"
)


_SAMPLE = 201


def open_url(
    url: str, root: Path | None = None, *, create: bool = False, event_types: Mapping[str, str], liked: float | None
) -> SqliteStore:
    """The store at `sqlite:///FILE`; a relative file is looked for in the folder `root`. See `open_store`."""
    path = (root or Path()) / url.removeprefix("sqlite:///")
    return SqliteStore(path, create=create, event_types=event_types, liked=liked)


class SqliteStore:
    """`genrec.data.store.Store` on one SQLite file.

    Every thread has its own connection; processes share the file. Readers never wait for writers, writers queue.
    """

    def __init__(
        self,
        path: Path,
        *,
        create: bool = False,
        event_types: Mapping[str, str] | None = None,
        liked: float | None = None,
    ) -> None:
        """Opens `path`; `create` makes it if it is missing.

        `event_types` are the names of own types with those they mean (`[data] event_types`), `liked` is the least
        rating that counts as liked where the settings say so. WorkspaceError if the file is missing, no genrec
        database, or written by a newer version.
        """
        self.path = Path(path)
        self._types, self._liked = EventTypes(event_types), liked
        self._local = threading.local()
        self._writing = threading.Lock()
        self._connections: weakref.WeakSet[schema.Connection] = weakref.WeakSet()
        if not self.path.is_file():
            if not create:
                raise WorkspaceError(f"there is no database at {path}", "import a log first: genrec data import --help")
            building = self.path.with_name(f".{self.path.name}.{uuid.uuid4().hex}")
            schema.publish(schema.create(building), building, self.path)
        self._connection()

    def __enter__(self) -> SqliteStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Catalogue

    def item(self, item_id: str) -> Item:
        """See `Store.item`."""
        return self.items([item_id])[0]

    def items(self, item_ids: Sequence[str]) -> list[Item]:
        """See `Store.items`."""
        query = f"SELECT {_ITEM} FROM items i WHERE external = ?"  # noqa: S608
        connection = self._connection()
        found = []
        for item_id in item_ids:
            row = connection.execute(query, (_text(item_id, "item id"),)).fetchone()
            if row is None:
                raise _unknown_item(item_id)
            found.append(_item(*row))
        return found

    def all_items(self) -> Iterator[Item]:
        """See `Store.all_items`."""
        rows = self._connection().execute(f"SELECT {_ITEM} FROM items i ORDER BY id")  # noqa: S608
        return (_item(*row) for row in rows)

    def n_items(self) -> int:
        """See `Store.n_items`."""
        return int(self._connection().execute("SELECT count(*) FROM items").fetchone()[0])

    def metadata_fields(self) -> frozenset[str]:
        """See `Store.metadata_fields`. Reads the whole catalogue: about 1 s for a million items."""
        rows = self._connection().execute("SELECT DISTINCT key FROM items, json_each(items.metadata)")
        return frozenset(field for (field,) in rows)

    def put_items(self, items: Iterable[Item]) -> int:
        """See `Store.put_items`. An item that is replaced keeps its place in the order."""
        rows = [item_row(item) for item in items]
        with self._transaction() as connection:
            connection.executemany(
                "INSERT INTO items (external, title, metadata, sponsored, hidden, expires) VALUES (?, ?, ?, ?, ?, ?)"
                " ON CONFLICT (external) DO UPDATE SET title = excluded.title, metadata = excluded.metadata,"
                " sponsored = excluded.sponsored, hidden = excluded.hidden, expires = excluded.expires",
                rows,
            )
        return len(rows)

    # Events

    def append(self, events: Sequence[Event]) -> int:
        """See `Store.append`."""
        for event in events:
            _check(event)
        new = 0
        with self._transaction() as connection:
            for event in events:
                item = connection.execute("SELECT id FROM items WHERE external = ?", (event.item_id,)).fetchone()
                if item is None:
                    raise _unknown_item(event.item_id)
                user = _key(connection, "users", "external", event.user_id)
                kind = _key(connection, "event_types", "name", event.event_type)
                new += connection.execute(
                    "INSERT INTO events (user, item, timestamp, value, type, event_id, request_id)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                    (user, item[0], event.timestamp, event.value, kind, event.event_id, event.request_id),
                ).rowcount
        return new

    def history(self, user_id: str, limit: int | None = None, before: float | None = None) -> History:
        """See `Store.history`."""
        rows = self._connection().execute(
            f"SELECT {_ITEM}, e.timestamp, t.name, e.value"  # noqa: S608
            " FROM events e JOIN items i ON i.id = e.item JOIN event_types t ON t.id = e.type"
            " WHERE e.user = (SELECT id FROM users WHERE external = ?) AND e.timestamp < ?"
            " ORDER BY e.timestamp DESC, e.id DESC",
            (_text(user_id, "user id"), math.inf if before is None else before),
        )
        entries = (HistoryEntry(_item(*row[:6]), row[6], self._types.named(row[7]), row[8]) for row in rows)
        done = (entry for entry in entries if polarity(entry.event_type, entry.value) != NEUTRAL)
        newest_first = list(islice(done, None if limit is None else max(limit, 0)))
        rows.close()
        return History(user_id, tuple(reversed(newest_first)))

    def median_user(self) -> str | None:
        """See `Store.median_user`."""
        connection = self._connection()
        last = connection.execute("SELECT max(id) FROM users").fetchone()[0] or 0
        counts: dict[str, int] = {}
        for step in range(min(_SAMPLE, last)):
            key, external = connection.execute(
                "SELECT id, external FROM users WHERE id >= ? LIMIT 1", (1 + step * last // min(_SAMPLE, last),)
            ).fetchone()
            counts[external] = connection.execute("SELECT count(*) FROM events WHERE user = ?", (key,)).fetchone()[0]
        active = sorted((count, user) for user, count in counts.items() if count)
        return active[len(active) // 2][1] if active else None

    def popular_items(self, newest: int = 20_000) -> list[str]:
        """See `Store.popular_items`. A count over all events takes long in a large log."""
        rows = self._connection().execute(
            "SELECT i.external FROM (SELECT item FROM events ORDER BY id DESC LIMIT ?) e JOIN items i ON i.id = e.item"
            " WHERE NOT i.sponsored GROUP BY i.id ORDER BY count(*) DESC, i.id",
            (newest,),
        )
        return [external for (external,) in rows]

    def user_ids(self, prefix: str = "", limit: int = 20) -> list[str]:
        """See `Store.user_ids`."""
        rows = self._connection().execute(
            "SELECT external FROM users WHERE external >= ? AND external < ? || char(1114111)"
            " ORDER BY external LIMIT ?",
            (prefix, prefix, limit),
        )
        return [user_id for (user_id,) in rows]

    def interactions(self) -> Interactions:
        """See `Store.interactions`. Time and memory are linear: about 1 s and 100 MB for a million events."""
        return self._log().as_meant(self._types, self.scale())

    def event_counts(self) -> list[EventCount]:
        """See `Store.event_counts`. Reads the whole log once."""
        rows = self._connection().execute(
            "SELECT t.name, count(*), count(e.value), min(e.value), max(e.value), sum(coalesce(e.value, 0) < 0)"
            " FROM events e JOIN event_types t ON t.id = e.type GROUP BY t.id ORDER BY count(*) DESC, t.id"
        )
        return [
            EventCount(
                self._types.named(name),
                events,
                with_value,
                math.nan if low is None else low,
                math.nan if high is None else high,
                below_zero,
            )
            for name, events, with_value, low, high, below_zero in rows
        ]

    def scale(self) -> RatingScale:
        """See `Store.scale`. It is stored in the folder of the database."""
        from genrec.data.ratings import seen, stored

        known = stored(self.path.parent) if self._liked is None else None
        return known or seen(self.event_counts(), self._liked)

    # Exposures

    def log_exposure(self, exposure: Exposure) -> None:
        """See `Store.log_exposure`. The same request id twice is one exposure, the first."""
        odds = [_odds(odds, exposure) for odds in (exposure.propensities, exposure.prefix_propensities)]
        with self._transaction() as connection:
            connection.execute(
                "INSERT INTO exposures (request_id, user, items, timestamp, template_id, template_version,"
                " template_hash, propensities, prefix_propensities, experiment, arm, arm_shares, trace, traced)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
                " ON CONFLICT DO NOTHING",
                (
                    _text(exposure.request_id, "request id"),
                    exposure.user_id,
                    json.dumps(exposure.item_ids),
                    exposure.timestamp,
                    exposure.template_id,
                    exposure.template_version,
                    exposure.template_hash,
                    *odds,
                    *_assigned(exposure.assignment),
                    None if exposure.trace is None else exposure.trace.to_json(),
                    None if exposure.trace is None else time.time(),
                ),
            )

    def exposures(self) -> Iterator[Exposure]:
        """See `Store.exposures`."""
        rows = self._connection().execute(f"SELECT {_EXPOSURE} FROM exposures ORDER BY timestamp, id")  # noqa: S608
        return (_exposure(*row) for row in rows)

    def exposure(self, request_id: str) -> Exposure:
        """See `Store.exposure`."""
        row = (
            self._connection()
            .execute(f"SELECT {_EXPOSURE}, trace FROM exposures WHERE request_id = ?", (request_id,))  # noqa: S608
            .fetchone()
        )
        if row is None:
            raise NotFoundError(
                "no answer was logged under that request id", "answers to users with an id are logged, others are not"
            )
        *columns, trace = row
        return replace(_exposure(*columns), trace=None if trace is None else Trace.from_json(trace))

    def prune_traces(self, before: float) -> int:
        """See `Store.prune_traces`."""
        with self._transaction() as connection:
            return connection.execute(
                "UPDATE exposures SET trace = NULL, traced = NULL WHERE traced < ?", (before,)
            ).rowcount

    def clicked(self, liked: float = ScoringSettings().liked) -> Mapping[str, frozenset[str]]:
        """See `Store.clicked`."""
        rows = self._connection().execute(
            "SELECT e.request_id, i.external, t.name, e.value FROM events e JOIN items i ON i.id = e.item"
            " JOIN event_types t ON t.id = e.type WHERE e.request_id IS NOT NULL"
        )
        found: dict[str, set[str]] = defaultdict(set)
        for request_id, item, kind, value in rows:
            if is_click(self._types.named(kind), value, liked):
                found[request_id].add(item)
        return {request_id: frozenset(items) for request_id, items in found.items()}

    def shown(self, liked: float) -> list[tuple[Exposure, frozenset[str]]]:
        """See `Store.shown`."""
        from genrec.data.impressions import Row, shown_lists

        clicked = self.clicked(liked)
        logged = [(exposure, clicked.get(exposure.request_id, frozenset())) for exposure in self.exposures()]
        if not any(meaning_of(one.event_type).polarity == NEUTRAL for one in self.event_counts()):
            return logged
        rows = self._connection().execute(
            "SELECT u.external, i.external, e.timestamp, t.name, e.value FROM events e JOIN users u ON u.id = e.user"
            " JOIN items i ON i.id = e.item JOIN event_types t ON t.id = e.type"
            " WHERE e.request_id IS NULL OR e.request_id NOT IN (SELECT request_id FROM exposures)"
            " ORDER BY e.user, e.timestamp, e.id"
        )
        named = (Row(user, item, time, self._types.named(name), value) for user, item, time, name, value in rows)
        told = shown_lists(named, liked)
        return sorted([*logged, *told], key=lambda pair: pair[0].timestamp)

    def block(self, user_id: str, item_ids: Sequence[str]) -> None:
        """See `Store.block`."""
        user = _text(user_id, "user id")
        rows = [(user, _text(item_id, "item id")) for item_id in item_ids]
        with self._transaction() as connection:
            connection.executemany("INSERT OR IGNORE INTO blocked (user, item) VALUES (?, ?)", rows)

    def blocked(self, user_id: str) -> frozenset[str]:
        """See `Store.blocked`."""
        rows = self._connection().execute("SELECT item FROM blocked WHERE user = ?", (_text(user_id, "user id"),))
        return frozenset(item for (item,) in rows)

    # The whole

    def stats(self) -> Mapping[str, int]:
        """See `Store.stats`."""
        with self._snapshot() as connection:
            return {
                table: int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])  # noqa: S608
                for table in _COUNTED
            }

    def fingerprint(self) -> str:
        """See `Store.fingerprint`. Made from the contents: equal data in two workspaces has equal fingerprints."""
        from genrec.data.sqlite import log_arrays

        return log_arrays.fingerprint(map(item_row, self.all_items()), self._log())

    def close(self) -> None:
        """See `Store.close`. The store opens again by itself when it is used again."""
        for connection in list(self._connections):
            connection.close()
        self._connections.clear()
        self._local = threading.local()

    def _log(self) -> Interactions:
        """The events as they are stored."""
        from genrec.data.sqlite import log_arrays

        with self._snapshot() as connection:
            return log_arrays.read(connection)

    def _connection(self) -> schema.Connection:
        # A connection must not cross a fork, hence the process id.
        owner, connection = getattr(self._local, "opened", (None, None))
        if connection is None or owner != os.getpid():
            connection = schema.connect(self.path)
            self._connections.add(connection)
            self._local.opened = (os.getpid(), connection)
        return connection

    @contextmanager
    def _snapshot(self) -> Iterator[schema.Connection]:
        """Several reads of one state."""
        connection = self._connection()
        connection.execute("BEGIN")
        try:
            yield connection
        finally:
            connection.execute("ROLLBACK")

    @contextmanager
    def _transaction(self) -> Iterator[schema.Connection]:
        """All or none; durable once the block has ended."""
        with self._writing, self._writable():
            connection = self._connection()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):  # some faults have rolled back already; what went wrong is to be raised
                    connection.execute("ROLLBACK")
                raise

    @contextmanager
    def _writable(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.IntegrityError | sqlite3.ProgrammingError | sqlite3.InternalError):
                raise
            raise WorkspaceError(
                f"{self.path} cannot be written: {error}",
                "is the disk full or read-only? free space, or wait for who else writes, and try again",
            ) from error


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
    texts = _text(item.id, "item id"), _text(item.title, "title"), metadata
    return *texts, item.sponsored, item.hidden, item.expires


def _odds(odds: tuple[float, ...] | None, exposure: Exposure) -> str | None:
    if odds is None:
        return None
    if len(odds) != len(exposure.item_ids) or not all(0 < p <= 1 for p in odds):
        raise DataError(
            "an exposure has propensities that are not one in (0, 1] for each item",
            "give the probability with which the policy showed each item, or none",
        )
    return json.dumps(odds)


def _assigned(assignment: Assignment | None) -> tuple[str | None, str | None, str | None]:
    if assignment is None:
        return None, None, None
    return assignment.experiment, assignment.arm, json.dumps(dict(assignment.shares))


def _is_metadata(value: object) -> bool:
    if isinstance(value, tuple | list):
        return all(isinstance(part, str) for part in value)
    return isinstance(value, str | float | int) and not isinstance(value, bool)


def _exposure(
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


def _item(
    external: str, title: str, metadata: str, sponsored: int, hidden: int = 0, expires: float | None = None
) -> Item:
    fields = {} if metadata == "{}" else json.loads(metadata, parse_int=float)
    for name, value in fields.items():
        if isinstance(value, list):
            fields[name] = tuple(value)
    return Item(external, title, fields, bool(sponsored), bool(hidden), expires)


def _key(connection: sqlite3.Connection, table: str, column: str, name: str) -> int:
    """The integer key of a user or event type, made if needed."""
    row = connection.execute(f"SELECT id FROM {table} WHERE {column} = ?", (name,)).fetchone()  # noqa: S608
    if row is None:
        row = connection.execute(f"INSERT INTO {table} ({column}) VALUES (?) RETURNING id", (name,)).fetchone()  # noqa: S608
    return int(row[0])


def _check(event: Event) -> None:
    _text(event.user_id, "user id")
    _text(event.item_id, "item id")
    _text(event.event_type, "event type")
    for name, optional in (("event id", event.event_id), ("request id", event.request_id)):
        if optional is not None:
            _text(optional, name)
    if not math.isfinite(event.timestamp):
        raise DataError("the timestamp of an event is not finite", "give seconds since the epoch")
    if event.value is not None and not math.isfinite(event.value):
        raise DataError("the value of an event is not finite", "leave it out where there is none")


def _text(value: str, name: str) -> str:
    try:
        if isinstance(value, str) and value.encode():
            return value
    except UnicodeEncodeError:
        pass
    raise DataError(f"the {name} is empty or no valid text", "give a text that is not empty, in UTF-8")


def _unknown_item(item_id: str) -> NotFoundError:
    return NotFoundError(f"the catalogue has no item {item_id!r}", "add it first, or check the id")
