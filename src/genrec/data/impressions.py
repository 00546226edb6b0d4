"""Lists that were shown, out of the impressions of a log: what was clicked is 1, what was only shown 0."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from genrec.data.event_types import NEUTRAL, is_click, polarity
from genrec.data.store import Exposure

Shown = list[tuple[Exposure, frozenset[str]]]
"""Lists that were shown, each with the ids of the items that were clicked in it."""


class Row(NamedTuple):
    """An event of a log; rows come in the order of (user, timestamp, arrival)."""

    user_id: str
    item_id: str
    timestamp: float
    event_type: str
    value: float | None


def shown_lists(rows: Iterable[Row], liked: float) -> Shown:
    """What each user was shown at each moment, with what they clicked of it then or later, oldest first.

    A click on something of which no impression is known is a list of its own with what was shown at the same moment.
    Empty for a log without impressions.
    """
    lists: dict[tuple[str, float], dict[str, bool]] = defaultdict(dict)
    last_shown: dict[tuple[str, str], dict[str, bool]] = {}
    impressions = False
    for row in rows:
        if is_click(row.event_type, row.value, liked):
            shown = last_shown.get((row.user_id, row.item_id))
            (lists[row.user_id, row.timestamp] if shown is None else shown)[row.item_id] = True
        elif polarity(row.event_type, row.value) == NEUTRAL:
            impressions = True
            shown = lists[row.user_id, row.timestamp]
            shown.setdefault(row.item_id, False)
            last_shown[row.user_id, row.item_id] = shown
    if not impressions:
        return []
    made = [
        (Exposure(f"shown-{number}", user, tuple(items), timestamp), frozenset(item for item in items if items[item]))
        for number, ((user, timestamp), items) in enumerate(lists.items())
    ]
    return sorted(made, key=lambda pair: pair[0].timestamp)
