"""The request: what a caller asks the recommender for, in Python, HTTP, chat and on the command line."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from typing import Any

from genrec.artifacts.renames import current_argument
from genrec.domain import Assignment, History
from genrec.errors import RequestError
from genrec.filtering.conditions import Condition
from genrec.settings import Policy

MOST_ITEMS = 1000
"""So many items can be asked for. A server takes fewer at once (see `genrec.serving.schemas`)."""


def new_request_id() -> str:
    """What a new answer is called in the log; clicks on it name it."""
    return f"rec-{uuid.uuid4().hex}"


@dataclass(frozen=True, slots=True)
class RecommendationRequest:
    """What a caller asks for. RequestError for a `k` that is not from 1 to `MOST_ITEMS`.

    `history` goes before the stored one of `user_id`; with neither the answer is what is popular. Ids of items, oldest
    first, do for one. A `query` in words brings the items whose texts are nearest to it among the candidates, and is
    read by the language model. `candidate_ids` is the caller's own slate in place of retrieval. `where` are conditions
    on metadata (see `genrec.filtering.conditions`). `now` (the log's unit) defaults to the newest moment that the log
    knows; items expire by it where it is given, and else by the clock. `policy` overrides the settings.
    """

    user_id: str | None = None
    history: History | Sequence[str] | None = None
    k: int = 10
    query: str | None = None
    context: Mapping[str, str] | None = None
    candidate_ids: tuple[str, ...] | None = None
    exclude: tuple[str, ...] = ()
    where: Mapping[str, Condition] = field(default_factory=dict)
    keep_seen: bool = False
    allow_sponsored: bool = False
    policy: Policy | None = None
    now: float | None = None
    cache_salt: str | None = None
    log_exposure: bool = True
    assignment: Assignment | None = None
    """The arm of an experiment that answers; set by the router above the pipeline."""

    def __post_init__(self) -> None:
        if not 1 <= self.k <= MOST_ITEMS:
            raise RequestError(f"k is {self.k}", f"ask for 1 to {MOST_ITEMS} items")
        if isinstance(self.history, str):
            raise RequestError("history is one text", "give a list of item ids, oldest first, or a History")

    @classmethod
    def of(cls, **options: Any) -> RecommendationRequest:
        """From fields by name. RequestError for a name that is no field, with the nearest that is.

        `request` is taken for `query`, with a DeprecationWarning, until 0.3.
        """
        options = current_argument(options, "request", "query")
        known = [one.name for one in fields(cls)]
        for name in options:
            if name == "explain":
                raise RequestError(
                    "recommend has no option 'explain'",
                    "reasons are made by: genrec.explanation.explain.explained(recommender, request, 'words')",
                )
            if name not in known:
                near = get_close_matches(name, known, 1)
                guess = f"did you mean {near[0]!r}? " if near else ""
                raise RequestError(f"recommend has no option {name!r}", f"{guess}options: {', '.join(known)}")
        return cls(**options)

    @property
    def is_logged(self) -> bool:
        """Whether the answer is kept as an exposure: lists of callers without a name are not."""
        return self.log_exposure and self.user_id is not None
