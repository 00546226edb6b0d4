"""The nouns of genrec. Frozen and typed; every layer speaks in these."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

LATEST_TIMESTAMP = 1e11
"""Seconds, the year 5138: timestamps beyond are in a finer unit, and would be the future for ever."""

MetadataValue = str | float | tuple[str, ...]
"""What a metadata field may hold: text, a number, or a list of texts (genres, tags)."""


@dataclass(frozen=True, slots=True)
class Item:
    """Something that can be recommended, unless it is `hidden` or has expired."""

    id: str
    title: str
    metadata: Mapping[str, MetadataValue] = field(default_factory=dict)
    sponsored: bool = False
    hidden: bool = False
    expires: float | None = None
    """Seconds since the epoch from which on it is not recommended any more; None: always."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something a user did with an item.

    `timestamp` is in seconds since the epoch (or any increasing number, where a source has only positions).
    `value` is a rating, play time or completion where the source has one. `event_id` makes the event idempotent.
    `request_id` names the recommendation on which the user acted.
    """

    user_id: str
    item_id: str
    timestamp: float
    event_type: str = "interaction"
    value: float | None = None
    event_id: str | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that is known of a candidate or of a history, as a named bucket and never as a number.

    Kinds and buckets are those of `genrec.prompting.phrases`. `related` is the title in the history that it is
    about, `field` the metadata field that both share; empty where it is about none.
    """

    kind: str
    bucket: str
    related: str = ""
    field: str = ""


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One event of a history with the item it is about."""

    item: Item
    timestamp: float
    event_type: str = "interaction"
    value: float | None = None


@dataclass(frozen=True, slots=True)
class History:
    """What a user did, oldest first. `user_id` is None for an anonymous caller who sends a history along.

    `evidence` is what is known of it as a whole, such as habits.
    """

    user_id: str | None
    entries: tuple[HistoryEntry, ...] = ()
    evidence: Sequence[Fact] = ()

    def item_ids(self) -> tuple[str, ...]:
        """Ids of the entries, oldest first; an item seen twice is there twice."""
        return tuple(entry.item.id for entry in self.entries)


@dataclass(frozen=True, slots=True)
class Candidate:
    """An item that a retriever proposes.

    `sources` has the raw score of each retriever that proposed it, `parts` that of every retriever that was asked.
    `evidence` is what is known of it for the history of the slate.
    """

    item: Item
    score: float
    sources: Mapping[str, float] = field(default_factory=dict)
    parts: Mapping[str, float] = field(default_factory=dict)
    evidence: Sequence[Fact] = ()


@dataclass(frozen=True, slots=True)
class DroppedItem:
    """An item that was left out of an answer, why (for example 'seen', 'blocked', 'p_click below 0.02'), and by which
    stage: 'filtering', 'scoring', the name of a re-ranker, or 'list' for what came behind the last place.
    """

    item_id: str
    reason: str
    stage: str = "filtering"


@dataclass(frozen=True, slots=True)
class Candidates:
    """The slate: distinct items in retrieval order, best first, and what the filters took out."""

    items: tuple[Candidate, ...]
    dropped: tuple[DroppedItem, ...] = ()


@dataclass(frozen=True, slots=True)
class RankedItem:
    """An item with a ranker's score. Scores are comparable within one ranking only."""

    item_id: str
    score: float


@dataclass(frozen=True, slots=True)
class TokenUsage:
    """Tokens of one ranking: `prompt` in all, `computed` as far as known without those read from a prefix cache."""

    prompt: int = 0
    computed: int = 0
    generated: int = 0


@dataclass(frozen=True, slots=True)
class Ranking:
    """Items of a slate, best first, every one of them exactly once (or the first k, for rankers that stop at k)."""

    items: tuple[RankedItem, ...]
    ranker: str
    usage: TokenUsage = TokenUsage()
    prompt_dropped: tuple[str, ...] = ()
    """What the token budget took out of the prompt, in words."""


@dataclass(frozen=True, slots=True)
class TemplateRef:
    """Which template made a prompt: `hash` covers body, partials and behaviour."""

    id: str
    version: int
    hash: str


@dataclass(frozen=True, slots=True)
class LlmRankerKey:
    """What weights of a language model belong to: a model with its adapter, called by a ranker with a template."""

    model: str
    adapter: str | None
    ranker: str
    template: str

    def __str__(self) -> str:
        adapter = f" with the adapter {self.adapter}" if self.adapter else ""
        return f"{self.model}{adapter}, {self.ranker}, {self.template}"


@dataclass(frozen=True, slots=True)
class Assignment:
    """The arm of a running experiment that a request was answered by, and what share of users each arm was to get."""

    experiment: str
    arm: str
    shares: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class RecommendedItem:
    """One line of an answer.

    An answer is ordered by `value`, which the objective makes of `p_click`, `p_like` and fields of the item; where
    re-ranking moved the item out of that order, `moved` says why. `llm_score` is what the language model said, None
    where it said nothing of it; `p_like` is None where nothing is rated.
    """

    item: Item
    rank: int
    p_click: float
    p_like: float | None
    value: float
    llm_score: float | None
    retriever_score: float
    sources: tuple[str, ...] = ()
    moved: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Provenance:
    """How an answer came about."""

    workspace_version: str
    retriever: str
    ranker: str
    model: str | None
    adapter: str | None
    template: TemplateRef | None
    policy: str
    fallback: str | None
    history_events: int
    candidates: int
    prompt_dropped: tuple[str, ...] = ()
    usage: TokenUsage = TokenUsage()
    stage_ms: Mapping[str, float] = field(default_factory=dict)
    assignment: Assignment | None = None


@dataclass(frozen=True, slots=True)
class Recommendation:
    """The answer. `agreement` is Kendall's tau-b between the language model's order and P(click) without it; None
    without both. `nothing_left` says why there is no item at all, where there is none.
    """

    request_id: str
    user_id: str | None
    items: tuple[RecommendedItem, ...]
    dropped: tuple[DroppedItem, ...]
    agreement: float | None
    provenance: Provenance
    nothing_left: str | None = None
