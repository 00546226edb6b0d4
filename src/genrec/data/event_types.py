"""What an event type means: its verb, what its value is, whether it is a yes or a no, whether it counts as a click.

The one table that importer, store, retrieval, scoring, prompts and evaluation read. `[data] event_types` in the
settings gives a type of one's own the meaning of one that stands here: `thumbs = "like"`, `ms = "listen"`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from genrec.errors import SettingsError

ValueKind = Literal["rating", "amount", "nothing"]
POSITIVE: Final = 1
NEUTRAL: Final = 0
NEGATIVE: Final = -1


@dataclass(frozen=True, slots=True)
class EventCount:
    """Events of one type: how many, how many with a value, the least and the largest value (NaN without any)."""

    event_type: str
    events: int
    with_value: int
    minimum: float
    maximum: float
    below_zero: int


@dataclass(frozen=True, slots=True)
class EventType:
    """The meaning of a type.

    `verb` is the key of the words in `genrec.prompting.event_verbs`. `value` says whether a number that comes with it
    is how the item was liked, an amount (plays, seconds, price: never a rating), or nothing that counts.
    `polarity`: 1 says yes to the item, -1 no, 0 that it was only shown. `click`: whether it is a click on the list
    that it names. `judges`: it says only how the item was liked, so it is worth a rating at the end of the scale.
    """

    verb: str = ""
    value: ValueKind = "amount"
    polarity: int = POSITIVE
    click: bool = True
    judges: bool = False


def _types(names: str, meaning: EventType) -> dict[str, EventType]:
    return dict.fromkeys(names.split(), meaning)


TABLE: Mapping[str, EventType] = {
    # how it was liked
    **_types("interaction rating rate rated review reviewed", EventType("", "rating")),
    **_types("watch watched stream streamed", EventType("video", "rating")),
    **_types("read", EventType("books", "rating")),
    **_types("enroll enrol enrolled take took study complete completed", EventType("courses", "rating")),
    **_types("finish finished", EventType("", "rating")),
    # taken up; the value is a count, a play time, a price
    **_types("listen listened", EventType("music")),
    **_types("play played", EventType("games")),
    **_types("buy bought purchase purchased order ordered", EventType("shop")),
    **_types("click clicked open opened", EventType("click")),
    **_types("view viewed tap select choose transaction conversion cart addtocart add_to_cart", EventType()),
    **_types("save saved bookmark share shared download follow subscribe", EventType()),
    **_types("search", EventType("search", click=False)),
    # a yes and nothing else
    **_types("like liked love favorite favourite thumbs_up upvote", EventType("like", "nothing", judges=True)),
    # a no
    **_types("dislike disliked thumbs_down downvote not_interested", EventType("dislike", "nothing", -1, False, True)),
    **_types("skip skipped", EventType("skip", "nothing", -1, False)),
    **_types("hide hidden dismiss dismissed block", EventType("hide", "nothing", -1, False, True)),
    **_types("return returned refund refunded", EventType("return", "nothing", -1, False)),
    **_types("unsubscribe unfollow unlike uninstall", EventType("unsubscribe", "nothing", -1, False)),
    # shown
    **_types("impression impressions exposure shown show", EventType("", "nothing", 0, False)),
}
"""By name, in small letters with `_` between words (see `canonical`)."""

UNKNOWN = EventType("", "amount", POSITIVE, click=False)
"""A type that nobody named: something was done with the item. It is no click, and its values are not used."""


def canonical(event_type: str) -> str:
    """The name as the table spells it.

    >>> canonical("Add to-cart")
    'add_to_cart'
    """
    return event_type.strip().lower().replace("-", "_").replace(" ", "_")


def meaning_of(event_type: str) -> EventType:
    """The meaning of a type; `UNKNOWN` for one that is not in the table."""
    return TABLE.get(canonical(event_type), UNKNOWN)


def polarity(event_type: str, value: float | None) -> int:
    """1 for a yes, -1 for a no, 0 for what was only shown. How a rating is meant its scale says, not this.

    A value of 0 says of a type without ratings that it did not happen, a negative one the opposite. An impression with
    a value above 0 is one that was taken up.

    >>> [polarity("click", 0.0), polarity("like", -1.0), polarity("impression", 1.0), polarity("rating", 0.0)]
    [0, -1, 1, 1]
    """
    meaning = meaning_of(event_type)
    if meaning.polarity == NEUTRAL:
        return POSITIVE if value is not None and value > 0 else NEUTRAL
    if meaning.polarity == NEGATIVE or meaning.value == "rating" or value is None or math.isnan(value) or value > 0:
        return meaning.polarity
    return NEUTRAL if value == 0 else NEGATIVE


def is_click(event_type: str, value: float | None, liked: float) -> bool:
    """Whether an event counts as a click on the list whose request it names.

    What takes an item up does (click, play, buy, like, ...), and so does what is rated (rating, watch, read, the
    default `interaction`, ...) with a value of at least `liked` or with none. No other type is a click: neither an
    impression, a skip or a dislike, nor one that is not known here.

    >>> [is_click("click", 1.0, 4.0), is_click("watch", 5.0, 4.0), is_click("watch", 2.0, 4.0)]
    [True, True, False]
    >>> [is_click("rating", None, 4.0), is_click("impression", None, 4.0), is_click("impression", 1.0, 4.0)]
    [True, False, True]
    """
    meaning = meaning_of(event_type)
    if meaning.value == "rating":
        return value is None or value >= liked
    return (meaning.click or meaning.polarity == NEUTRAL) and polarity(event_type, value) == POSITIVE


def rating(event_type: str, value: float | None) -> float | None:
    """The value where it says how the item was liked, else None: an amount is never a rating.

    >>> [rating("watch", 4.0), rating("play", 30.0)]
    [4.0, None]
    """
    rates = value is not None and not math.isnan(value) and meaning_of(event_type).value == "rating"
    return value if rates else None


def unknown_types(names: Iterable[str]) -> list[str]:
    """Those of the names that the table does not have, sorted."""
    return sorted(name for name in names if canonical(name) not in TABLE)


class EventTypes:
    """The names of a workspace's own types (`[data] event_types`) with those of the table they mean."""

    def __init__(self, own: Mapping[str, str] | None = None) -> None:
        """SettingsError for a meaning that the table does not have."""
        given = {canonical(name): canonical(meant) for name, meant in (own or {}).items()}
        for name, meant in given.items():
            if meant not in TABLE:
                raise SettingsError(
                    f"[data] event_types: {name} is to mean {meant!r}, which is no known event type",
                    f"name one of: {', '.join(sorted(TABLE))}",
                )
        self._own = given

    def named(self, event_type: str) -> str:
        """The name that the rest of genrec reads: the known one for a type of one's own, others as they are."""
        return self._own.get(canonical(event_type), event_type) if self._own else event_type
