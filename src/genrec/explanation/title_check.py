"""Which titles a text names: the check of what a language model says before people read it.

A title counts as named wherever its words stand in a row, if that is no accident: three words in any spelling, two
written large, one written large that is no common word. Between quotation marks any text counts as a title.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Literal

Foreign = Literal["a link", "another title", "a title that does not exist", "a name from nowhere"]
"""What a text has that it must not have."""

LONGEST = 12
"""Longer titles are known by their first words."""
_CJK = "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_CJK}]|(?:(?![{_CJK}])[^\W_])+")
_QUOTED = re.compile(
    r'"([^"\n]+)"|\u201c([^\u201d\n]+)\u201d|\u2018([^\u2019\n]+)\u2019(?!\w)|(?<!\w)\'([^\'\n]+(?:\'\w[^\'\n]*)*)\'(?!\w)'
    r"|\u300a([^\u300b\n]+)\u300b|\u300c([^\u300d\n]+)\u300d|\u300e([^\u300f\n]+)\u300f|\u00ab([^\u00bb\n]+)\u00bb"
    r"|\*{1,2}([^*\n]+)\*{1,2}|(?<!\w)_([^_\n]+)_(?!\w)"
)
_LINK = re.compile(r"://|\bwww\.|\]\(", re.IGNORECASE)
_BEHIND = re.compile(r"[\s,]*[(\[][^()\[\]]*[)\]]\s*$")
_ARTICLE = re.compile(r"^(.+), (the|a|an|les?|la|il|l'|der|die|das|el|los|las)$", re.IGNORECASE)
_SEQUEL = re.compile(r"\s+(?:\d{1,2}|II|III|IV|V|VI+)\b(?!\s*[%.])")
_COMMON_WORDS = """
a about after all also an and another any are as at away be because before best big both but by can do down each even
every fans first for from given go good great had has have he her here him his home how i if in into is it its just
last later life like love man many me more most my near new next night no not nothing now of off on one only or other
others our out over people perfect red she since so some something such that the their them then there these they this
those three time to today together two under up us very was we what when where which while who why will with world yes
you young your
"""
_COMMON = frozenset(_COMMON_WORDS.split())
_JOINING = frozenset({"of", "the", "and", "in", "de", "la"})


class Titles:
    """The titles of a catalogue."""

    def __init__(self, titles: Iterable[str]) -> None:
        self._keys = {key for title in titles for key in _keys(title)}

    def foreign(self, text: str, allowed: Collection[str], source: str) -> Foreign | None:
        """The first thing in the text that must not be there; None if there is none.

        The text may name the titles `allowed`, and no other of the catalogue. What it quotes, and names of two and
        more words in it, must be such a title or stand in the `source` that it was made from.
        """
        if _LINK.search(text):
            return "a link"
        text = unicodedata.normalize("NFKC", text)
        own = {key for title in allowed for key in _keys(title)}
        said = f" {_key(source)} "
        for found in _QUOTED.finditer(text):
            quoted = next(part for part in found.groups() if part is not None)
            keys = {" ".join(_key(form).split()[:LONGEST]) for form in _forms(quoted)}
            known = bool(keys & self._keys)
            if not any(keys) or keys & own or (not known and f" {_key(quoted)} " in said):
                continue
            return "another title" if known else "a title that does not exist"
        for start, end, key in list(_named(text, self._keys | own)):
            if key not in own:
                return "another title"
            if _SEQUEL.match(text, end):
                return "a title that does not exist"
            text = text[:start] + "." * (end - start) + text[end:]
        for name in _names(text):
            # The first word may be large because a sentence begins with it.
            if not any(f" {' '.join(part)} " in said for part in (name, name[1:])):
                return "a name from nowhere"
        return None


def words_beside(text: str, titles: Iterable[str]) -> int:
    """How many words (in Chinese and Japanese: characters) a text has beside numbers and these titles."""
    text = unicodedata.normalize("NFKC", text)
    keys = {key for title in titles for key in _keys(title)}
    for start, end, _ in list(_named(text, keys)):
        text = text[:start] + "." * (end - start) + text[end:]
    return sum(not word.isdigit() for word in _WORD.findall(text))


def _named(text: str, keys: Collection[str]) -> Iterator[tuple[int, int, str]]:
    """Start, end and key of every title in the text, the longest one where several begin."""
    words = list(_WORD.finditer(text))
    folded = [word.group().casefold() for word in words]
    place = 0
    while place < len(words):
        for size in range(min(LONGEST, len(words) - place), 0, -1):
            key = " ".join(folded[place : place + size])
            if key in keys and _meant(text, words[place : place + size]):
                yield words[place].start(), words[place + size - 1].end(), key
                place += size
                break
        else:
            place += 1


def _meant(text: str, words: Sequence[re.Match[str]]) -> bool:
    """Whether words that make a title are written as one."""
    if len(words) > 2:
        return True
    small = [word.group().islower() for word in words]
    if len(words) == 2:
        joining = [word.group() in _JOINING for word in words]
        return not all(small) and all(one or not other for one, other in zip(joining, small, strict=True))
    word, before = words[0].group(), text[: words[0].start()].rstrip(" \t\"'\u201c*_")
    begins = not before or before[-1] in ".!?:\n\u2022-"
    common = word in ("I", "A") or (begins and word.casefold() in _COMMON)
    return not (small[0] or common or word.isdigit() or re.fullmatch(f"[{_CJK}]", word))


def _names(text: str) -> Iterator[list[str]]:
    """Two and more words written large in a row, small ones between them left out of account, in small letters."""
    run: list[str] = []
    size = end = 0  # of the run up to its last large word
    for found in _WORD.finditer(text):
        word, gap = found.group(), text[end : found.start()]
        if gap.strip(" \t'\u2019-"):
            if size > 1:
                yield run[:size]
            run, size = [], 0
        end = found.end()
        if word[0].isupper():
            run.append(word.casefold())
            size = len(run)
        elif run and word in _JOINING:
            run.append(word)
        else:
            if size > 1:
                yield run[:size]
            run, size = [], 0
    if size > 1:
        yield run[:size]


def _keys(title: str) -> set[str]:
    """The ways in which people write a title: its forms, its first part, and all of them without an article."""
    forms = _forms(title)
    first = re.split(r":| [-\u2013\u2014] ", forms[-1], maxsplit=1)[0]
    forms += [first] if len(_WORD.findall(first)) > 1 else []
    keys = set(map(_key, forms))
    keys |= {key.partition(" ")[2] for key in keys if key.partition(" ")[0] in ("the", "a", "an")}
    return {" ".join(key.split()[:LONGEST]) for key in keys if key}


def _forms(title: str) -> list[str]:
    """As it is, without the year behind it, and with its article in front."""
    plain = _plain(unicodedata.normalize("NFKC", title))
    moved = _ARTICLE.match(plain)
    return [title, plain, f"{moved[2]} {moved[1]}" if moved else plain]


def _plain(title: str) -> str:
    """Without what stands in brackets behind it, such as the year."""
    while (shorter := _BEHIND.sub("", title)) != title and shorter:
        title = shorter
    return title.strip()


def _key(text: str) -> str:
    words = _WORD.findall(unicodedata.normalize("NFKC", text))
    return " ".join(word.casefold() for word in words)
