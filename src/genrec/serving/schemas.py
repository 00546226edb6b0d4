"""Bodies of requests and answers. Unknown fields are errors; limits keep one request from holding the server."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from genrec.artifacts.renames import current_name
from genrec.data.store import Store
from genrec.data.traces import Trace
from genrec.domain import LATEST_TIMESTAMP, Event, History, HistoryEntry, Item, Recommendation
from genrec.explanation.explain import Explained, How
from genrec.explanation.why import Why
from genrec.filtering.conditions import Condition
from genrec.pipeline.recommender import RecommendationRequest
from genrec.settings import Policy

Id = Annotated[str, Field(min_length=1, max_length=512)]
Timestamp = Annotated[float, Field(ge=-LATEST_TIMESTAMP, le=LATEST_TIMESTAMP)]
"""Seconds; milliseconds are out of range."""


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class HistoryBody(_Body):
    """One event of a history that comes with the request, oldest first."""

    item_id: Id
    timestamp: Timestamp | None = None
    event_type: Annotated[str, Field(max_length=64)] = "interaction"
    value: float | None = None


class RecommendationBody(_Body):
    """`POST /v1/recommendations`, and the field `genrec` of a chat request."""

    user_id: Id | None = None
    history: Annotated[list[HistoryBody], Field(max_length=1000)] | None = None
    k: int = Field(default=10, ge=1, le=100)
    query: Annotated[str, Field(max_length=4000)] | None = None
    context: dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=400)]] | None = None
    candidate_ids: Annotated[list[Id], Field(min_length=1, max_length=1000)] | None = None
    exclude: Annotated[list[Id], Field(max_length=10000)] = []
    where: dict[str, Condition] = {}
    keep_seen: bool = False
    allow_sponsored: bool = False
    policy: Policy | None = None
    adapter: Annotated[str, Field(max_length=512)] | None = None
    """One of those served; "" or "base" is the model without one."""
    explain: How | None = None
    """words: reasons in grounded words for each item. model: what the language model says too, as far as it stands."""

    @model_validator(mode="before")
    @classmethod
    def _current_names(cls, data: Any) -> Any:
        return current_name(data, "request", "query", "a body of /v1")

    def to_request(self, store: Store, cache_salt: str | None = None) -> RecommendationRequest:
        """In the pipeline's terms. NotFoundError for items of the history that the catalogue does not have."""
        return RecommendationRequest(
            user_id=self.user_id,
            history=None if self.history is None else _history(self.user_id, self.history, store),
            k=self.k,
            query=self.query or None,
            context=self.context,
            candidate_ids=None if self.candidate_ids is None else tuple(self.candidate_ids),
            exclude=tuple(self.exclude),
            where=self.where,
            keep_seen=self.keep_seen,
            allow_sponsored=self.allow_sponsored,
            policy=self.policy,
            cache_salt=cache_salt,
        )


class EventBody(_Body):
    """One event. Without `event_id` a repeated call stores a second event; without `timestamp` it is now.

    With `request_id` it says something of the list that was shown. It is a click if its type takes the item up (click,
    open, view, play, listen, buy, like, save, ...), or is rated (rating, watch, read, complete, interaction, ...) with
    a `value` of at least the setting `scoring.liked` or without one. Other types (impression, skip, dislike, ...) are
    no click: `genrec.data.event_types` has the whole list.
    """

    user_id: Id
    item_id: Id
    timestamp: Timestamp | None = None
    event_type: Annotated[str, Field(min_length=1, max_length=64)] = "click"
    value: float | None = None
    event_id: Id | None = None
    request_id: Id | None = None

    def to_event(self) -> Event:
        """In the domain's terms."""
        return Event(**{**self.model_dump(), "timestamp": time.time() if self.timestamp is None else self.timestamp})


class EventsBody(_Body):
    """`POST /v1/events` with several events: all are stored, or none."""

    events: Annotated[list[EventBody], Field(min_length=1, max_length=10000)]


def item_answer(item: Item) -> dict[str, Any]:
    """`GET /v1/items/{id}`."""
    return {
        "item_id": item.id,
        "title": item.title,
        "metadata": dict(item.metadata),
        "sponsored": item.sponsored,
        "hidden": item.hidden,
        "expires": item.expires,
    }


def history_answer(history: History) -> dict[str, Any]:
    """`GET /v1/users/{id}/history`, oldest first."""
    return {
        "user_id": history.user_id,
        "events": [
            {
                "item_id": entry.item.id,
                "title": entry.item.title,
                "timestamp": entry.timestamp,
                "event_type": entry.event_type,
                "value": entry.value,
            }
            for entry in history.entries
        ],
    }


def recommendation_answer(answer: Recommendation, explained: Explained | None = None) -> dict[str, Any]:
    """`POST /v1/recommendations`; with reasons where they were asked for."""
    account = {} if explained is None else {"explanation": asdict(explained.account)}
    return {
        "request_id": answer.request_id,
        "user_id": answer.user_id,
        "items": [
            {
                **item_answer(line.item),
                "rank": line.rank,
                "p_click": line.p_click,
                "p_like": line.p_like,
                "value": line.value,
                "moved": list(line.moved),
                "llm_score": line.llm_score,
                "retriever_score": line.retriever_score,
                "sources": list(line.sources),
                **({} if explained is None else {"reasons": list(explained.reasons[line.item.id])}),
            }
            for line in answer.items
        ],
        "agreement": answer.agreement,
        "dropped": [asdict(item) for item in answer.dropped],
        "nothing_left": answer.nothing_left,
        "provenance": {**asdict(answer.provenance), "stage_ms": dict(answer.provenance.stage_ms), **account},
    }


def why_answer(found: Why, item_id: str | None = None) -> dict[str, Any]:
    """`GET /v1/recommendations/{id}`: what is kept of a logged list, or of one item, and the same in words."""
    exposure = found.exposure
    trace = exposure.trace or Trace(())
    template = (exposure.template_id, exposure.template_version, exposure.template_hash)
    return {
        "request_id": exposure.request_id,
        "user_id": exposure.user_id,
        "timestamp": exposure.timestamp,
        "versions": dict(trace.versions),
        "template": None
        if exposure.template_id is None
        else dict(zip(("id", "version", "hash"), template, strict=True)),
        "assignment": None if exposure.assignment is None else asdict(exposure.assignment),
        "counts": dict(trace.counts),
        "shown": [
            {**asdict(one), "rank": rank}
            for rank, one in enumerate(trace.shown, start=1)
            if item_id in (None, one.item_id)
        ],
        "left_out": [asdict(one) for one in trace.left_out if item_id in (None, one.item_id)],
        "words": list(found.lines),
    }


def _history(user_id: str | None, events: list[HistoryBody], store: Store) -> History:
    items = store.items([event.item_id for event in events])
    # Without times the order of the list is the time.
    return History(
        user_id,
        tuple(
            HistoryEntry(
                item, float(position) if event.timestamp is None else event.timestamp, event.event_type, event.value
            )
            for position, (item, event) in enumerate(zip(items, events, strict=True))
        ),
    )
