"""Adds a freshly built database to one that has data, in one transaction and without doubling events."""

from __future__ import annotations

from pathlib import Path

from genrec.data.sqlite import schema

_STEPS = """
INSERT INTO items (external, title, metadata, sponsored, hidden, expires)
    SELECT external, title, metadata, sponsored, hidden, expires FROM built.items WHERE id <= :of_source ORDER BY id
    ON CONFLICT (external) DO UPDATE SET
    title = excluded.title, metadata = excluded.metadata, sponsored = excluded.sponsored,
    hidden = excluded.hidden, expires = excluded.expires;
INSERT OR IGNORE INTO items (external, title, metadata, sponsored, hidden, expires)
    SELECT external, title, metadata, sponsored, hidden, expires FROM built.items WHERE id > :of_source ORDER BY id;
INSERT OR IGNORE INTO users (external) SELECT external FROM built.users ORDER BY id;
INSERT OR IGNORE INTO event_types (name) SELECT name FROM built.event_types ORDER BY id;
CREATE TEMP TABLE incoming AS
    SELECT e.id, u.id AS user, i.id AS item, e.timestamp, e.value, t.id AS type, e.event_id, e.request_id
    FROM built.events e
    JOIN built.users bu ON bu.id = e.user JOIN users u ON u.external = bu.external
    JOIN built.items bi ON bi.id = e.item JOIN items i ON i.external = bi.external
    JOIN built.event_types bt ON bt.id = e.type JOIN event_types t ON t.name = bt.name
"""

# An event without an id is known by all it consists of. The source may hold equal events: the n-th copy is new if
# the log has fewer than n of them, so importing a log again, or a log that has grown, adds just what is new.
_EVENTS = """
INSERT INTO events (user, item, timestamp, value, type, event_id, request_id)
    SELECT user, item, timestamp, value, type, event_id, request_id FROM (
        SELECT *, row_number() OVER (
            PARTITION BY user, timestamp, item, type, value, request_id, event_id IS NULL ORDER BY id
        ) AS copy FROM incoming
    ) AS n
    WHERE event_id IS NOT NULL OR copy > (
        SELECT count(*) FROM events e
        WHERE e.user = n.user AND e.timestamp = n.timestamp AND e.item = n.item AND e.type = n.type
        AND e.value IS n.value AND e.request_id IS n.request_id AND e.event_id IS NULL
    )
    ORDER BY id
    ON CONFLICT (event_id) WHERE event_id IS NOT NULL DO NOTHING
"""


def merge(built: Path, database: Path, of_source: int, *, steps_between_signals: int) -> int:
    """Adds the contents of `built` to `database`; returns how many events were new.

    Items with a key up to `of_source` replace those of the same id; the others stand only where there is none.
    """
    connection = schema.connect(database)
    try:
        connection.set_progress_handler(lambda: 0, steps_between_signals)
        connection.execute("ATTACH ? AS built", (str(built),))
        connection.execute("BEGIN IMMEDIATE")
        for step in _STEPS.split(";"):
            connection.execute(step, {"of_source": of_source} if ":of_source" in step else {})
        new = connection.execute(_EVENTS).rowcount
        connection.execute("COMMIT")
    finally:
        connection.close()  # which rolls back what was not committed
    return new
