"""The rating scale of a log: seen in its values, stored with the workspace, and what counts as liked on it.

Every number that says how an item was liked is read through a scale: 4 is a lot of 1 to 5 and little of 0 to 100.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from genrec.data.event_types import NEGATIVE, POSITIVE, EventCount, meaning_of, polarity

if TYPE_CHECKING:
    from genrec.domain import HistoryEntry
    from genrec.settings import Settings

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

LIKED = 0.75
"""Share of the way from the lowest to the highest rating from which on an item counts as liked: 4 of 1 to 5."""
LARGEST = 100.0
"""Values beyond are no ratings: nobody gives more stars. They are amounts (seconds, plays, prices)."""
JUDGED = 0.02
"""From this share of noes on a log without ratings is read as graded: what is no no is a yes."""
USUAL = 5.0
"""So many values in the middle of the scale are added to a user's own before their mean is taken."""
_TOPS = (1.0, 5.0, 10.0, LARGEST)


@dataclass(frozen=True, slots=True)
class RatingScale:
    """Ratings go from `low` to `high` and count as liked from `liked` on.

    `source` says where they come from: "ratings" are given by users; "types" are made of yes and no (like, skip, ...)
    as 1 and 0; "constant" is one value that says nothing; "amounts" are too large for ratings; "none" there are none.
    On every scale a no by its type (dislike) is worth `low`, which no rating is where values say nothing.
    """

    low: float = 0.0
    high: float = 1.0
    liked: float = LIKED
    source: str = "none"

    @classmethod
    def of(cls, low: float, high: float, source: str = "ratings", liked: float | None = None) -> RatingScale:
        """The scale on which the smallest and the largest value seen are `low` and `high`.

        Known ends are 1, 5, 10 and 100; a scale with values of at least 1 starts at 1, but that to 100 at 0.

        >>> RatingScale.of(0.5, 5.0).liked, RatingScale.of(0, 1).liked, RatingScale.of(3, 97).liked
        (4.0, 0.75, 75.0)
        """
        if high > LARGEST and liked is None:
            return cls(-1.0, high, 0.0, "amounts")
        if low == high and liked is None:
            return cls(low - 1, high, high, "constant")
        if low < 0 or high > LARGEST:
            start, top = low, max(high, -low if low < 0 else high)
        else:
            top = next(top for top in _TOPS if high <= top)
            start = 1.0 if top in (5.0, 10.0) and (low >= 1 or top == 5.0) else 0.0
        threshold = start + LIKED * (top - start) if liked is None else liked
        return cls(min(low, start), top, threshold, source)

    @property
    def middle(self) -> float:
        """Half of the way, never above `liked`: ratings below say no, unless the user rates nothing higher."""
        return min(self.low + (self.high - self.low) / 2, self.liked)

    def values(self, event_type: str, value: FloatArray) -> FloatArray:
        """What events [n] of a type say of how their items were liked, on this scale; NaN where they say nothing.

        A rating is itself, an amount nothing. A no is the lowest rating. A yes that only judges (like) is the highest
        where there is a scale; one that takes up (play, click) is so only where yes and no are all there is.
        """
        meaning = meaning_of(event_type)
        if meaning.value == "rating":
            return value if self.source in ("ratings", "constant") else np.full(len(value), np.nan)
        yes = self.source == "types" or (self.source in ("ratings", "constant") and meaning.judges)
        return np.where(polarities(event_type, value) == POSITIVE, self.high if yes else np.nan, self.low)

    def values_of(self, entries: Sequence[HistoryEntry]) -> FloatArray:
        """`values` of the events of a history [n]."""
        value = np.array([math.nan if entry.value is None else entry.value for entry in entries], dtype=np.float64)
        kinds = [entry.event_type for entry in entries]
        for kind in set(kinds):
            rows = np.array([name == kind for name in kinds], dtype=np.bool_)
            value[rows] = self.values(kind, value[rows])
        return value

    def noes(self, value: FloatArray, user: npt.NDArray[Any] | None = None) -> BoolArray:
        """Which values [n], as `values` gives them, say no to their items: below the middle, and below what is usual.

        `user` [n] numbers who gave them (one user if None); what is usual for a user is the mean of the values, to
        which `USUAL` values in the middle of the scale are added: who gives low ratings only means some of them well.
        """
        if not len(value):
            return np.zeros(0, dtype=np.bool_)
        of = np.zeros(len(value), dtype=np.int64) if user is None else user
        known = ~np.isnan(value)
        total = np.bincount(of[known], value[known], int(of.max()) + 1) + USUAL * self.middle
        usual = total / (np.bincount(of[known], minlength=len(total)) + USUAL)
        return np.asarray((value < self.middle) & (value < usual[of]))

    def says(self) -> str:
        """The scale in words."""
        return {
            "ratings": f"{self.low:g} to {self.high:g}; liked from {self.liked:g}",
            "types": "yes and no by event type",
            "constant": f"every value is {self.high:g}: values say nothing",
            "amounts": f"up to {self.high:g}: amounts, not ratings",
            "none": "none",
        }[self.source]

    def write(self, folder: Path) -> None:
        """Stores the scale with a workspace."""
        (folder / FILE).write_text(json.dumps(asdict(self), indent=1) + "\n", "utf-8")


FILE = "ratings.json"
NONE = RatingScale()
STARS = RatingScale.of(1.0, 5.0)
"""Where nothing is known of the scale."""


def polarities(event_type: str, value: FloatArray) -> npt.NDArray[np.int64]:
    """`event_types.polarity` of events [n] of one type, NaN where they have no value."""
    kinds = (
        polarity(event_type, None),
        polarity(event_type, -1.0),
        polarity(event_type, 0.0),
        polarity(event_type, 1.0),
    )
    sign = np.where(np.isnan(value), 0, np.sign(value) + 2).astype(np.int64)
    return np.asarray(np.array(kinds)[sign])


def seen(counts: Iterable[EventCount], liked: float | None = None) -> RatingScale:
    """The scale of a log, from its events counted by type; `liked` is the threshold that the settings give, if any."""
    counts = list(counts)
    rated = [one for one in counts if one.with_value and meaning_of(one.event_type).value == "rating"]
    if rated:
        return RatingScale.of(min(one.minimum for one in rated), max(one.maximum for one in rated), "ratings", liked)
    events = sum(one.events for one in counts)
    noes = sum(one.events for one in counts if meaning_of(one.event_type).polarity == NEGATIVE)
    noes += sum(one.below_zero for one in counts if meaning_of(one.event_type).polarity > 0)
    return RatingScale(source="types") if events and JUDGED <= noes / events < 1 else NONE


def stored(folder: Path) -> RatingScale | None:
    """The scale that `RatingScale.write` has stored with a workspace, if there are ratings on it."""
    try:
        scale = RatingScale(**json.loads((folder / FILE).read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    return scale if scale.source == "ratings" else None


class HasScale(Protocol):
    """A store, as far as its rating scale goes."""

    def scale(self) -> RatingScale:
        """The scale of the log."""


def with_liked(settings: Settings, store: HasScale) -> Settings:
    """The settings with `liked` as the scale of the store has it, unless somebody has set it. It stays not set."""
    scale, section = store.scale(), settings.scoring
    if "liked" in section.model_fields_set or scale.source == "none":
        return settings
    values = {**section.model_dump(), "liked": scale.liked}
    known = type(section).model_construct(_fields_set=section.model_fields_set, **values)
    return settings.model_copy(update={"scoring": known})
