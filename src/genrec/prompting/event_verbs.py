"""Words for what people do: the verb of an event, by language, and its rating as people write it."""

from __future__ import annotations

from genrec.data import event_types
from genrec.domain import HistoryEntry, Item

_DOMAIN_OF = {
    **dict.fromkeys(("video", "movie", "movies", "film", "tv"), "video"),
    **dict.fromkeys(("music", "song", "audio"), "music"),
    **dict.fromkeys(("games", "game"), "games"),
    **dict.fromkeys(("courses", "course", "education"), "courses"),
    **dict.fromkeys(("books", "book"), "books"),
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
        "dislike": "disliked",
        "skip": "skipped",
        "hide": "hid",
        "return": "returned",
        "unsubscribe": "unsubscribed from",
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
        "dislike": "不喜欢",
        "skip": "跳过了",
        "hide": "屏蔽了",
        "return": "退掉了",
        "unsubscribe": "取消了",
        "": "选了",
    },
}


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
    value = event_types.rating(entry.event_type, entry.value)
    return "" if value is None else number(value)


def number(value: float) -> str:
    """A number in as few characters as it needs: 1995.0 is "1995"."""
    return str(int(value)) if value == value and abs(value) < 1e15 and value == int(value) else f"{value:.4g}"


def _kind(entry: HistoryEntry) -> str:
    kind = event_types.meaning_of(entry.event_type).verb
    return (domain(entry.item) or kind) if kind in ("", "click") else kind
