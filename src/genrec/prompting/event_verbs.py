"""Words for what people do: the verb of an event, and its rating."""

from __future__ import annotations

from genrec.domain import HistoryEntry, Item

_DOMAIN_OF = {
    **dict.fromkeys(("video", "movie", "movies", "film", "tv"), "video"),
    **dict.fromkeys(("music", "song", "audio"), "music"),
    **dict.fromkeys(("games", "game"), "games"),
    **dict.fromkeys(("courses", "course", "education"), "courses"),
    **dict.fromkeys(("books", "book"), "books"),
}
_TYPE_OF = {
    **dict.fromkeys(("watch", "watched", "stream"), "video"),
    **dict.fromkeys(("listen", "listened"), "music"),
    **dict.fromkeys(("play", "played"), "games"),
    **dict.fromkeys(("enroll", "enrol", "take", "took", "study", "complete"), "courses"),
    **dict.fromkeys(("read",), "books"),
    **dict.fromkeys(("buy", "purchase", "order"), "shop"),
    **dict.fromkeys(("click", "clicked", "open"), "click"),
    **dict.fromkeys(("like", "liked", "favorite", "favourite"), "like"),
    **dict.fromkeys(("search",), "search"),
}
_VERBS = {
    "en": {
        "video": "watched",
        "music": "listened to",
        "games": "played",
        "courses": "took",
        "books": "read",
        "shop": "bought",
        "click": "clicked on",
        "like": "liked",
        "search": "searched for",
        "": "chose",
    },
    "zh": {
        "video": "看了",
        "music": "听了",
        "games": "玩了",
        "courses": "学了",
        "books": "读了",
        "shop": "买了",
        "click": "点开了",
        "like": "喜欢",
        "search": "搜索了",
        "": "选了",
    },
}
_UNRATED = frozenset({"music", "games", "shop", "click", "search"})
"""Where the value of an event is a play time or an amount, unless the event is called a rating."""
_RATINGS = frozenset({"rating", "rate", "rated", "review"})


def verb(entry: HistoryEntry, language: str) -> str:
    """`watched`, `played`, ...: from the type of the event, else from the item's `domain`, else a neutral one."""
    verbs = _VERBS.get(language.split("-")[0], _VERBS["en"])
    return verbs[_kind(entry)]


def domain(item: Item) -> str:
    """The item's `domain` by the name that templates know it by: video, music, games, courses, books; else empty."""
    name = item.metadata.get("domain")
    return _DOMAIN_OF.get(name.lower(), "") if isinstance(name, str) else ""


def rating(entry: HistoryEntry) -> str:
    """The rating as people write it ("5", "3.5"); empty where the event has none."""
    if entry.value is None or entry.value != entry.value:
        return ""
    if entry.event_type.lower() not in _RATINGS and _TYPE_OF.get(entry.event_type.lower()) in _UNRATED:
        return ""
    return number(entry.value)


def number(value: float) -> str:
    """A number in as few characters as it needs: 1995.0 is "1995"."""
    return str(int(value)) if value == value and abs(value) < 1e15 and value == int(value) else f"{value:.4g}"


def _kind(entry: HistoryEntry) -> str:
    kind = _TYPE_OF.get(entry.event_type.lower())
    if kind is None or kind == "click":
        kind = domain(entry.item) or kind
    return kind or ""
