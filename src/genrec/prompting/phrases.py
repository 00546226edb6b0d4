"""Evidence in words: its kinds, their buckets, and what each is called in each language."""

from __future__ import annotations

from collections.abc import Mapping

from genrec.domain import Fact

KINDS: Mapping[str, tuple[str, ...]] = {
    "candidates": ("transitions", "popularity", "recency", "ratings", "shared_attribute"),
    "history": ("habits",),
}
"""Which inputs can carry which kinds of evidence."""

_EN = {
    ("transitions", "often"): 'often chosen with "{title}"',
    ("transitions", "sometimes"): 'sometimes chosen with "{title}"',
    ("transitions", "rarely"): 'rarely chosen with "{title}"',
    ("popularity", "very popular"): "very popular",
    ("popularity", "popular"): "popular",
    ("popularity", "little known"): "little known",
    ("popularity", "new"): "new",
    ("recency", "rising"): "chosen more lately",
    ("recency", "fading"): "chosen less lately",
    ("ratings", "above"): "rated above this person's average",
    ("ratings", "below"): "rated below this person's average",
    ("shared_attribute", "same"): 'same {field} as "{title}"',
    ("habits", "high ratings"): "mostly gives high ratings",
    ("habits", "mixed ratings"): "gives high and low ratings",
    ("habits", "low ratings"): "mostly gives low ratings",
    ("habits", "well known"): "mostly chooses what is very popular",
    ("habits", "little known"): "often chooses what is little known",
    ("habits", "returns"): "often comes back to the same titles",
}
_ZH = {
    ("transitions", "often"): '常与"{title}"一起被选',
    ("transitions", "sometimes"): '有时与"{title}"一起被选',
    ("transitions", "rarely"): '很少与"{title}"一起被选',
    ("popularity", "very popular"): "非常热门",
    ("popularity", "popular"): "热门",
    ("popularity", "little known"): "少有人知",
    ("popularity", "new"): "新上架",
    ("recency", "rising"): "近来更多人选",
    ("recency", "fading"): "近来较少人选",
    ("ratings", "above"): "评分高于这个人的平均",
    ("ratings", "below"): "评分低于这个人的平均",
    ("shared_attribute", "same"): '与"{title}"的{field}相同',
    ("habits", "high ratings"): "大多给高分",
    ("habits", "mixed ratings"): "评分有高有低",
    ("habits", "low ratings"): "大多给低分",
    ("habits", "well known"): "大多选非常热门的",
    ("habits", "little known"): "常选少有人知的",
    ("habits", "returns"): "常回到同样的标题",
}
_WORDS = {"en": _EN, "zh": _ZH}
_FIELDS_ZH = {
    "actor": "演员",
    "artist": "歌手",
    "author": "作者",
    "category": "类别",
    "developer": "开发者",
    "director": "导演",
    "genre": "类型",
    "instructor": "老师",
    "provider": "提供方",
    "publisher": "发行方",
    "subject": "学科",
    "tag": "标签",
}
SEPARATORS: Mapping[str, str] = {"en": "; ", "zh": "；"}

BUCKETS: Mapping[str, tuple[str, ...]] = {
    kind: tuple(bucket for known, bucket in _EN if known == kind) for kinds in KINDS.values() for kind in kinds
}
"""The buckets of each kind."""


def evidence_text(evidence: Fact, language: str, title: str = "", field: str = "") -> str:
    """`often chosen with "Heat"`. `title` and `field` are those of the evidence as they may stand in a prompt."""
    code = language.split("-")[0]
    words = _WORDS.get(code, _EN)
    name = _singular(field.replace("_", " "))
    if code == "zh":
        name = _FIELDS_ZH.get(name, name)
    return words[evidence.kind, evidence.bucket].format(title=title, field=name)


def separator(language: str) -> str:
    """What stands between two texts of evidence."""
    return SEPARATORS.get(language.split("-")[0], SEPARATORS["en"])


def _singular(name: str) -> str:
    """Fields with several values are called by plurals; what is shared is one of them."""
    lower = name.lower()
    if lower.endswith("ies") and lower != "series":
        return lower[:-3] + "y"
    return lower[:-1] if lower.endswith("s") and not lower.endswith(("ss", "us", "is", "series")) else lower
