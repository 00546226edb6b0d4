"""Lists that a workspace logged with their propensities, and what was clicked in them, as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from genrec.data.interactions import BoolArray, FloatArray
from genrec.data.store import Exposure, Store
from genrec.errors import DataError
from genrec.evaluation.offpolicy.reward_model import Positions, cross_fitted
from genrec.evaluation.offpolicy.rounds import Owners, Rounds, importance, owners
from genrec.settings import ScoringSettings

EXPLORE = (
    "off-policy evaluation needs lists that were drawn at random with known odds: set exploration.temperature above 0 "
    "(GENREC_EXPLORATION__TEMPERATURE, for example 0.3) and serve under the policy fuse"
)


@dataclass(frozen=True, eq=False)
class LoggedLists:
    """n lists of up to K places: `exposures` [n], and `shown` (is there an item), `reward` (was it clicked) [n, K].

    `place` and `prefix` [n, K] are the propensities of the exposures, 1 beyond the end of a list; None where some
    exposure has none of the kind. `left_out` counts exposures without a user or without any propensity.
    """

    exposures: tuple[Exposure, ...]
    owner: Owners
    shown: BoolArray
    reward: FloatArray
    place: FloatArray | None
    prefix: FloatArray | None
    left_out: int

    def rounds(self, lists: Sequence[Sequence[str]], item_ids: Sequence[str], seed: int = 0) -> Rounds:
        """The log seen from a policy that would have shown `lists` [n], best first, without any randomness.

        `item_ids` is the catalogue. A list of the policy is cut, or is short, at the length of the logged one.
        """
        index = {item_id: position for position, item_id in enumerate(item_ids)}
        item = _positions([exposure.item_ids for exposure in self.exposures], index, self.shown, absent=-1)
        wanted = _positions(lists, index, self.shown, absent=-2)
        same = ((item == wanted) | ~self.shown).astype(np.float64)
        place = np.broadcast_to(np.arange(item.shape[1]), item.shape)
        predicted, expected = np.zeros_like(self.reward), np.zeros_like(self.reward)
        for rows, rates in cross_fitted(item, place, self.reward, self.owner, len(index), item.shape[1], seed):
            predicted[rows] = np.where(item[rows] >= 0, rates[item[rows], place[rows]], 0.0)
            expected[rows] = np.where(wanted[rows] >= 0, rates[wanted[rows], place[rows]], 0.0)
        return Rounds(
            self.reward,
            self.owner,
            None if self.place is None else importance(same, self.place),
            None if self.prefix is None else importance(np.minimum.accumulate(same, axis=1), self.prefix),
            predicted,
            expected,
            self.shown,
        )


def logged_lists(
    store: Store, users: Sequence[str] | None = None, liked: float = ScoringSettings().liked
) -> LoggedLists:
    """All exposures with a user and propensities, of the given users only if there are any given.

    A reward is a click by `Store.clicked`: `liked` is the least rating that is one.
    DataError if there is none, or if every list was shown with probability 1: such a log can judge no other policy.
    """
    chosen = None if users is None else set(users)
    every = [exposure for exposure in store.exposures() if chosen is None or exposure.user_id in chosen]
    kept = [exposure for exposure in every if exposure.user_id is not None and _odds(exposure) and exposure.item_ids]
    if not kept:
        raise DataError(f"none of the {len(every)} logged lists has propensities", EXPLORE)
    if all(min(odds) >= 1 for exposure in kept for odds in _odds(exposure)):
        raise DataError("every logged list was shown with probability 1: nothing was explored", EXPLORE)
    clicked = store.clicked(liked)
    width = max(len(exposure.item_ids) for exposure in kept)
    shown = np.arange(width) < np.array([len(exposure.item_ids) for exposure in kept])[:, None]
    reward = np.zeros(shown.shape)
    for row, exposure in enumerate(kept):
        found = clicked.get(exposure.request_id, frozenset())
        reward[row, : len(exposure.item_ids)] = [item in found for item in exposure.item_ids]
    return LoggedLists(
        tuple(kept),
        owners([exposure.user_id for exposure in kept]),
        shown,
        reward,
        _padded([exposure.propensities for exposure in kept], width, last=False),
        _padded([exposure.prefix_propensities for exposure in kept], width, last=True),
        len(every) - len(kept),
    )


def _odds(exposure: Exposure) -> list[tuple[float, ...]]:
    return [odds for odds in (exposure.propensities, exposure.prefix_propensities) if odds is not None]


def _padded(rows: Sequence[tuple[float, ...] | None], width: int, *, last: bool) -> FloatArray | None:
    """Rows of a table, filled up with their last value or with 1; None if a row is missing."""
    table = np.ones((len(rows), width))
    for number, row in enumerate(rows):
        if row is None:
            return None
        table[number, : len(row)] = row
        if last:
            table[number, len(row) :] = row[-1]
    return table


def _positions(lists: Sequence[Sequence[str]], index: dict[str, int], shown: BoolArray, absent: int) -> Positions:
    """Positions in the catalogue of the items of each list [n, K], cut at the length of the logged list.

    `absent` (below 0) is where a list is too short, and beyond the end of the logged one.
    """
    table = np.full(shown.shape, absent, dtype=np.int64)
    for row, ids in enumerate(lists):
        cut = min(len(ids), int(shown[row].sum()))
        table[row, :cut] = [index.get(item_id, absent) for item_id in ids[:cut]]
    return table
