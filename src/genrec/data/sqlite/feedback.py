"""What an event says of the shown list that it names: whether it is a click."""

from __future__ import annotations

_ACTS = frozenset({
    "click", "clicked", "open", "opened", "view", "viewed", "tap", "select", "choose", "listen", "listened", "play",
    "played", "buy", "bought", "purchase", "purchased", "order", "ordered", "transaction", "conversion", "cart",
    "addtocart", "add_to_cart", "like", "liked", "love", "favorite", "favourite", "save", "saved", "bookmark",
    "share", "shared", "download", "follow", "subscribe",
})  # fmt: skip
"""Who does this has taken the item up; the value of such an event is a count, an amount or a play time."""
_RATED = frozenset({
    "interaction", "rating", "rate", "rated", "review", "reviewed", "watch", "watched", "stream", "streamed",
    "read", "enroll", "enrol", "enrolled", "take", "took", "study", "complete", "completed", "finish", "finished",
})  # fmt: skip
"""Of these the value, where there is one, says how it was liked."""


def is_click(event_type: str, value: float | None, liked: float) -> bool:
    """Whether an event counts as a click on the list whose request it names.

    What takes an item up does (click, play, buy, like, ...), and so does what is rated (rating, watch, read, the
    default `interaction`, ...) with a value of at least `liked` or with none. No other type is a click: neither an
    impression, a skip or a dislike, nor one that is not known here.

    >>> [is_click("click", 1.0, 4.0), is_click("watch", 5.0, 4.0), is_click("watch", 2.0, 4.0)]
    [True, True, False]
    >>> [is_click("rating", None, 4.0), is_click("impression", None, 4.0)]
    [True, False]
    """
    kind = event_type.strip().lower().replace("-", "_").replace(" ", "_")
    return kind in _ACTS or (kind in _RATED and (value is None or value >= liked))
