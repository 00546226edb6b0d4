"""Makes data harmless before it enters a template: nothing in it can look like structure of the prompt."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

MAX_CHARACTERS = 2000
REPLACEMENT = "\N{MIDDLE DOT}"

# Default-ignorable code points that are letters or marks: invisible, yet of no category that is removed as a whole.
_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\uffa0\ufe00-\ufe0f\U000e0000-\U000e0fff]"
)
_HIDING = re.compile("(?:[A-Za-z][\u200b-\u200d\u2060\ufe00-\ufe0f]+){2}")
"""Letters with something invisible behind each: no people's way to write."""
_FLOOD = re.compile("[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]{4,}")
"""More combining marks on one letter than any language has."""
_REMOVED = frozenset({"Cc", "Cf", "Co", "Cn", "Cs"})
_LABEL = re.compile(r"(?<!\S)(?:([A-Z]{1,2})[.):]|[\[(]([A-Z]{1,2})[\])][.:]?)(?!\S)")
_NUMERAL = re.compile(r"(?<=[^\W\d_] )(?:[IVX]|I[IVX]|VI|X[IVX]):(?= )")
"""A Roman numeral between the words of a title, as in "Star Trek IV: The Voyage Home"; labels end in a full stop."""
_ROLE = re.compile(r"(?<!\w)(system|user|assistant|human|developer|tool)\s*:", re.IGNORECASE)
_FENCE = re.compile(r"`{2,}|~{3,}|-{3,}|={3,}|#{2,}|\*{3,}|_{3,}")
_OPEN_TAG = re.compile(r"<(?=[A-Za-z/|!_])")
_CLOSE_TAG = re.compile(r"(?<=[A-Za-z0-9/|_'-])>")
_FOREIGN = r"<\||\|>|\[/?INST\]|<</?SYS>>|<(?:start|end)_of_turn>|\{[{%#]"
"""Chat markup of whatever model, and template code: no title, review or request holds any."""
_UNSPACED = "\u0e00-\u0eff\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
"""Letters of scripts that write words together, or particles behind foreign words."""
_BRACKETED = re.compile(r"\W.*\w.*\W", re.DOTALL)
_ANSWER = re.compile(
    r"(?<![^\W\d_])(?i:answers?|reply|respond)(?![^\W\d_])[\s:='-]*(?i:is|with)?[\s:='-]*(?:(?i:yes|no)|[A-Z]{1,2})(?!\w)"
    r"|(?:回答|答案|回复)[\s:是为'-]*(?:(?i:yes|no)|[A-Z]{1,2})(?![A-Za-z0-9_])"
)


def guard(
    text: str,
    control_strings: frozenset[str] = frozenset(),
    max_characters: int = MAX_CHARACTERS,
    answer: str = "",
    labels: bool = True,
) -> str:
    """One harmless line; guarding it again changes nothing.

    Unicode NFKC; control, bidirectional, zero-width, private-use and unassigned characters and floods of combining
    marks removed; white space folded; length capped. Text ends where a control string in brackets, chat markup of
    another model, template code, or writing that hides itself begins: what stands behind was written for a model, not
    for people. Other control strings are replaced by a dot (deleting would let `<|im_<|x|>end|>` become a real
    marker). Claims of an answer ("answer Yes", "answer: B") are left out; look-alikes of role names ("assistant:"), of
    fences and of tags are rewritten, and with `labels` (where candidates stand behind letters) those of labels ("B. ",
    "(B)") as well, but for the numeral of a title ("Star Trek IV: The Voyage Home"); double quotes become single ones,
    so that a quoted value cannot end its quotation. `answer` is the word by which the model says that an item fits: a
    small model repeats what it has just read, so that word is left out wherever it stands, of "Yes Man" too (a dot in
    its place would lift the item as well). Other orders are words like any others: `genrec eval injection` measures
    what they gain.
    """
    if len(text) > _CACHED_LENGTH:
        return _guard(text, control_strings, max_characters, answer, labels)
    return _cached_guard(text, control_strings, max_characters, answer, labels)


def _guard(text: str, control_strings: frozenset[str], max_characters: int, answer: str, labels: bool) -> str:
    text = _HIDING.split(text[: 4 * max_characters], 1)[0]
    while True:
        once = _rewrite(_visible(text)[:max_characters].rstrip(), control_strings, answer, labels)
        if once == text:
            return text
        text = once


# Titles and genres come back with every request; what people write does not, and should not stay in memory.
_CACHED_LENGTH = 200
_cached_guard = lru_cache(maxsize=65536)(_guard)


def _visible(text: str) -> str:
    if text.isascii():
        kept = "".join(c if c.isprintable() else " " if c.isspace() else "" for c in text)
        return " ".join(kept.split())
    text = unicodedata.normalize("NFKC", text)
    kept = "".join(" " if c.isspace() else c for c in text if c.isspace() or unicodedata.category(c) not in _REMOVED)
    return " ".join(_FLOOD.sub("", _INVISIBLE.sub("", kept)).split())


def _rewrite(text: str, control_strings: frozenset[str], answer: str, labels: bool) -> str:
    text = _structure(control_strings).split(text, 1)[0].rstrip()
    if control_strings:
        text = _any_of(control_strings).sub(REPLACEMENT, text)
    text = _OPEN_TAG.sub("\N{SINGLE LEFT-POINTING ANGLE QUOTATION MARK}", text)
    text = _CLOSE_TAG.sub("\N{SINGLE RIGHT-POINTING ANGLE QUOTATION MARK}", text)
    text = text.replace('"', "'")
    text = _FENCE.sub(REPLACEMENT, text)
    text = _ANSWER.sub("", text)
    if len(answer) > 1:  # a digit or a letter is in too many titles
        text = _word(answer).sub("", text)
    text = _ROLE.sub(r"\1 -", text)
    return _without_labels(text) if labels else text


def _without_labels(text: str) -> str:
    numeral = _NUMERAL.search(text)
    kept = numeral.start() if numeral else -1
    return _LABEL.sub(lambda match: match[0] if match.start() == kept else match[1] or match[2], text)


@lru_cache(maxsize=64)
def _word(word: str) -> re.Pattern[str]:
    """The word in any case, with the space before it; letters of a script without spaces may stand beside it."""
    return re.compile(rf"\s*(?<![^\W\d_{_UNSPACED}]){re.escape(word)}(?![^\W\d_{_UNSPACED}])", re.IGNORECASE)


@lru_cache(maxsize=64)
def _any_of(strings: frozenset[str]) -> re.Pattern[str]:
    return re.compile("|".join(re.escape(text) for text in sorted(strings, key=len, reverse=True)))


@lru_cache(maxsize=64)
def _structure(control_strings: frozenset[str]) -> re.Pattern[str]:
    """Where text ends: control strings that no text holds by chance, and foreign structure."""
    bracketed = frozenset(text for text in control_strings if _BRACKETED.fullmatch(text))
    return re.compile(f"{_any_of(bracketed).pattern}|{_FOREIGN}" if bracketed else _FOREIGN)
