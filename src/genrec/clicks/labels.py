"""What counts as a click: the labelled rows on which P(click) is fitted."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from genrec.clicks.histories import Index
from genrec.data.interactions import FloatArray, IntArray, Interactions
from genrec.data.store import Exposure

Kind = Literal["exposures", "ratings", "sampled"]

ENOUGH_CLICKS = 200
"""Exposures are the labels once this many of their items were clicked; before that they say too little."""
NEGATIVES = 4
"""Sampled negatives for each event of a log without ratings."""

_SAYS: dict[Kind, str] = {
    "exposures": "shown items: 1 if a click names the request id of the list, 0 if not",
    "ratings": "rated items: 1 if the rating is at least the liking threshold, 0 if below",
    "sampled": f"events are 1; {NEGATIVES} items for each, drawn in proportion to popularity, are 0: "
    "probabilities are relative to that mixture",
}


@dataclass(frozen=True, eq=False)
class Rows:
    """R labelled rows in order of time: `user` [R] (-1: unknown), `item` [R], `now` [R], `label` [R] in {0, 1}."""

    kind: Kind
    user: IntArray
    item: IntArray
    now: FloatArray
    label: FloatArray

    def __len__(self) -> int:
        return len(self.label)

    @property
    def says(self) -> str:
        """Where the labels come from, in words."""
        return _SAYS[self.kind]

    def take(self, rows: Index) -> Rows:
        """The given rows."""
        return Rows(self.kind, self.user[rows], self.item[rows], self.now[rows], self.label[rows])


def labelled(
    interactions: Interactions,
    liked: float,
    exposures: Iterable[tuple[Exposure, Collection[str]]] = (),
    seed: int = 0,
    known: Interactions | None = None,
) -> Rows:
    """The best labels there are: exposures with their clicked item ids, else ratings, else sampled negatives.

    A log counts as rated if most of its events carry a value and some of them are below `liked`; its events without a
    value are then left out. Nothing is trained on a mixture, whose probabilities would mean nothing. What a user has
    done in `known` (default: in the log itself) is not drawn as his negative.
    """
    shown = _from_exposures(interactions, exposures)
    if shown.label.sum() >= ENOUGH_CLICKS:
        return shown
    rated = ~np.isnan(interactions.value)
    if len(interactions) and rated.mean() > 0.5:
        log = interactions.select(rated)
        label = (log.value >= liked).astype(np.float64)
        if label.min() < label.max():
            return _in_time(Rows("ratings", log.user, log.item, log.timestamp, label))
    return _sampled(interactions, interactions if known is None else known, seed)


def event_labels(value: FloatArray, liked: float) -> FloatArray:
    """Labels of events by their values, any shape: 1 from `liked` on and where there is no value, else 0."""
    return np.where(np.isnan(value), 1.0, value >= liked).astype(np.float64)


def _in_time(rows: Rows) -> Rows:
    return rows.take(np.argsort(rows.now, kind="stable"))


def _from_exposures(interactions: Interactions, exposures: Iterable[tuple[Exposure, Collection[str]]]) -> Rows:
    user_of = {user: position for position, user in enumerate(interactions.user_ids)}
    item_of = {item: position for position, item in enumerate(interactions.item_ids)}
    found = [
        (user_of.get(exposure.user_id, -1), item_of[item], exposure.timestamp, float(item in clicked))
        for exposure, clicked in exposures
        for item in exposure.item_ids
        if item in item_of
    ]
    table = np.array(found, dtype=np.float64).reshape(-1, 4)
    return _in_time(
        Rows("exposures", table[:, 0].astype(np.int32), table[:, 1].astype(np.int32), table[:, 2], table[:, 3])
    )


def _sampled(interactions: Interactions, known: Interactions, seed: int) -> Rows:
    """Each event with `NEGATIVES` items that its user never touched; a draw that hits one he did is left out."""
    interactions = interactions.positive()
    n = len(interactions)
    generator = np.random.default_rng(seed)
    # A random event's item is a draw in proportion to popularity.
    drawn = interactions.item[generator.integers(0, max(n, 1), size=n * NEGATIVES)] if n else interactions.item
    user = np.repeat(interactions.user, NEGATIVES)
    now = np.repeat(interactions.timestamp, NEGATIVES)
    keys = known.user.astype(np.int64) * known.n_items + known.item
    fresh = ~np.isin(user.astype(np.int64) * known.n_items + drawn, keys)
    return _in_time(
        Rows(
            "sampled",
            np.concatenate([interactions.user, user[fresh]]),
            np.concatenate([interactions.item, drawn[fresh]]),
            np.concatenate([interactions.timestamp, now[fresh]]),
            np.concatenate([np.ones(n), np.zeros(int(fresh.sum()))]),
        )
    )
