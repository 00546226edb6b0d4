"""What a template sees of the data: plain, frozen, guarded, capped in tokens. Never ids, never objects with methods."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from types import MappingProxyType

from genrec.domain import Candidate, Fact, HistoryEntry, Item, MetadataValue
from genrec.prompting import event_verbs
from genrec.prompting.guard import guard
from genrec.prompting.phrases import evidence_text, separator
from genrec.prompting.rendered import Tokenizer
from genrec.prompting.syntax import MARKS
from genrec.prompting.template import Input

MAX_TITLE = 300
MAX_FIELD = 600
EVIDENCE_TITLE_TOKENS = 12
"""What a title of the history may take where evidence names it."""
YEAR_FIELDS = ("year", "release_year")
GENRE_FIELDS = ("genres", "genre", "categories")
_HIDDEN = frozenset({*YEAR_FIELDS, *GENRE_FIELDS, "domain"})
_YEAR_IN_TITLE = re.compile(r"\((1[89]|20)\d\d\)\s*$")
_ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"

FieldValue = str | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ItemView:
    """An item of the history or the slate.

    `year` is empty where unknown or where the title ends with it. `fields` has every other metadata field, as text or
    as a tuple of texts. `domain` is video, music, games, courses, books or empty. `verb` and `rating` belong to
    history, `label` to candidates of a ranking, `evidence` to candidates of a template that asks for it; else empty.
    """

    title: str
    year: str = ""
    genres: tuple[str, ...] = ()
    fields: Mapping[str, FieldValue] = field(default_factory=dict)
    verb: str = ""
    rating: str = ""
    label: str = ""
    domain: str = ""
    evidence: tuple[str, ...] = ()


class HistoryView(tuple[ItemView, ...]):
    """The items of a history, oldest first, and in `habits` what is known of it as a whole, in words."""

    habits: str = ""


@dataclass(frozen=True, slots=True)
class ContextFact:
    """A named fact of the context."""

    name: str
    value: str


class ViewMaker:
    """Makes views with the tokenizer and guard of one rendering; `answer` is what says that an item fits, if a word.

    `labels`: whether candidates stand behind letters.
    """

    def __init__(
        self, tokenizer: Tokenizer, language: str, with_fields: bool, answer: str = "", labels: bool = True
    ) -> None:
        self._tokenizer = tokenizer
        self._language = language
        self._answer, self._labels = answer, labels
        self._with_fields = with_fields

    def history(
        self, entries: Sequence[HistoryEntry], evidence: Sequence[Fact], spec: Input
    ) -> tuple[HistoryView, int]:
        """Views, and how many were shortened."""
        views, shortened = self._items([entry.item for entry in entries], spec)
        found = HistoryView(
            replace(view, verb=event_verbs.verb(entry, self._language), rating=event_verbs.rating(entry))
            for view, entry in zip(views, entries, strict=True)
        )
        found.habits = separator(self._language).join(self._evidence(evidence, spec))
        return found, shortened

    def candidates(
        self, candidates: Sequence[Candidate], labels: Sequence[str], spec: Input
    ) -> tuple[list[ItemView], int]:
        """Views with labels (none for a pointwise slate), and how many were shortened."""
        views, shortened = self._items([candidate.item for candidate in candidates], spec)
        if labels:
            views = [replace(view, label=label) for view, label in zip(views, labels, strict=True)]
        if spec.evidence:
            facts = (self._evidence(candidate.evidence, spec) for candidate in candidates)
            views = [replace(view, evidence=texts) for view, texts in zip(views, facts, strict=True)]
        return views, shortened

    def text(self, text: str, spec: Input) -> tuple[str, int]:
        """Guarded free text, and how many tokens were cut off its end."""
        clean = self._clean(text, spec, 8 * (spec.max_tokens or 0))
        ids = self._tokenizer.encode(clean)
        over = len(ids) - (spec.max_tokens or len(ids))
        return (clean, 0) if over <= 0 else (_shorten(self._tokenizer, clean, len(ids) - over), over)

    def facts(self, facts: Mapping[str, str], spec: Input) -> tuple[tuple[ContextFact, ...], int]:
        """Guarded facts in the order given, and how many were left out or shortened."""
        kept = list(facts.items())[: spec.max_items]
        cut = len(facts) - len(kept)
        views = []
        for name, value in kept:
            clean_name, clean = self._clean(name, spec, MAX_TITLE), self._clean(str(value), spec, MAX_FIELD)
            short = _capped(self._tokenizer, clean, spec.item_tokens or 0)
            cut += short != clean
            views.append(ContextFact(_capped(self._tokenizer, clean_name, spec.item_tokens or 0), short))
        return tuple(views), cut

    def _evidence(self, evidence: Sequence[Fact], spec: Input) -> tuple[str, ...]:
        """The evidence that the input asks for, in its order. Titles and fields are data whatever the input says."""
        if not spec.evidence:  # nothing is computed for a template that does not ask
            return ()
        return tuple(
            evidence_text(
                fact,
                self._language,
                _capped(self._tokenizer, self._guarded(fact.related, MAX_TITLE) or "?", EVIDENCE_TITLE_TOKENS),
                _capped(self._tokenizer, self._guarded(fact.field, MAX_TITLE), EVIDENCE_TITLE_TOKENS),
            )
            for fact in sorted(
                (fact for fact in evidence if fact.kind in spec.evidence),
                key=lambda fact: spec.evidence.index(fact.kind),
            )
        )

    def _clean(self, text: str, spec: Input, max_characters: int) -> str:
        if spec.trust == "trusted":
            return MARKS.sub("", text)
        return self._guarded(text, max_characters)

    def _guarded(self, text: str, max_characters: int) -> str:
        return guard(text, self._tokenizer.control_strings, max_characters, self._answer, self._labels)

    def _items(self, items: Sequence[Item], spec: Input) -> tuple[list[ItemView], int]:
        raw = [self._raw(item, spec) for item in items]
        texts = {text for view in raw for text in _texts(view)}
        _count_all(self._tokenizer, texts)
        views = [self._fit(view, spec.item_tokens or 0) for view in raw]
        return views, sum(view != whole for view, whole in zip(views, raw, strict=True))

    def _raw(self, item: Item, spec: Input) -> ItemView:
        title = self._clean(item.title, spec, MAX_TITLE) or "?"
        metadata = item.metadata
        year = "" if _YEAR_IN_TITLE.search(title) else _first(metadata, YEAR_FIELDS)
        genres = _first(metadata, GENRE_FIELDS)
        fields: dict[str, FieldValue] = {}
        if self._with_fields:
            for name, value in metadata.items():
                if name not in _HIDDEN:
                    clean = self._value(value, spec)
                    if clean:
                        fields[self._clean(name, spec, MAX_TITLE)] = clean
        clean_genres = self._value(genres, spec)
        return ItemView(
            title,
            "".join(self._value(year, spec)),
            (clean_genres,) if isinstance(clean_genres, str) and clean_genres else tuple(clean_genres),
            MappingProxyType(fields),
            domain=event_verbs.domain(item),
        )

    def _value(self, value: MetadataValue, spec: Input) -> FieldValue:
        if isinstance(value, tuple | list):
            return tuple(clean for clean in (self._clean(str(part), spec, MAX_TITLE) for part in value) if clean)
        if isinstance(value, int | float):
            return event_verbs.number(value)
        return self._clean(value, spec, MAX_FIELD)

    def _fit(self, view: ItemView, limit: int) -> ItemView:
        """Title first, then year, genres, fields, as far as they fit."""
        left = limit - _count(self._tokenizer, view.title)
        if left < 0:
            return ItemView(_capped(self._tokenizer, view.title, limit), domain=view.domain)
        year, left = self._take((view.year,), left)
        genres, left = self._take(view.genres, left)
        fields: dict[str, FieldValue] = {}
        for name, value in view.fields.items():
            whole = (value,) if isinstance(value, str) else value
            part, left = self._take(whole, left)
            if part and isinstance(value, tuple):
                fields[name] = part
            elif part:
                fields[name] = part[0]
            elif isinstance(value, str) and left >= 8 and value:
                fields[name], left = _capped(self._tokenizer, value, left), 0
        return replace(view, year="".join(year), genres=genres, fields=MappingProxyType(fields))

    def _take(self, texts: Sequence[str], left: int) -> tuple[tuple[str, ...], int]:
        taken = []
        for text in texts:
            cost = _count(self._tokenizer, text)
            if cost > left:
                break
            taken.append(text)
            left -= cost
        return tuple(taken), left


def _first(metadata: Mapping[str, MetadataValue], names: Sequence[str]) -> MetadataValue:
    return next((metadata[name] for name in names if metadata.get(name)), "")


def _texts(view: ItemView) -> list[str]:
    texts = [view.title, view.year, *view.genres]
    for value in view.fields.values():
        texts += [value] if isinstance(value, str) else value
    return texts


class _Counts:
    """Token counts by text, for one tokenizer; forgets all when full, as titles come back sooner than they age."""

    LIMIT = 200_000

    def __init__(self) -> None:
        self.known: dict[str, int] = {}


@lru_cache(maxsize=8)
def _counts(tokenizer: Tokenizer) -> _Counts:
    return _Counts()


def _count_all(tokenizer: Tokenizer, texts: set[str]) -> None:
    counts = _counts(tokenizer)
    if len(counts.known) > counts.LIMIT:
        counts.known = {}
    new = [text for text in texts if text not in counts.known]
    if new:
        counts.known.update(zip(new, map(len, tokenizer.encode_batch(new)), strict=True))


def _count(tokenizer: Tokenizer, text: str) -> int:
    known = _counts(tokenizer).known.get(text)
    return len(tokenizer.encode(text)) if known is None else known


def _capped(tokenizer: Tokenizer, text: str, limit: int) -> str:
    return text if _count(tokenizer, text) <= limit else _shorten(tokenizer, text, limit)


def _shorten(tokenizer: Tokenizer, text: str, limit: int) -> str:
    """The longest start of whole characters that takes fewer than `limit` tokens, with an ellipsis."""
    _, starts = tokenizer.encode_with_starts(text)
    end = starts[max(1, limit - 2)] if len(starts) > max(1, limit - 2) else len(text)
    return text[: max(1, end)].rstrip() + _ELLIPSIS
