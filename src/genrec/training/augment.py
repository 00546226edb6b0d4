"""Variations of an example: shorter histories, fewer fields and values."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import numpy as np
from pydantic import Field

from genrec.domain import Candidates, History, Item
from genrec.training.base import Example
from genrec.training.config import Section


class AugmentSettings(Section):
    """How often which variation is made; 0 is never."""

    truncate: float = Field(default=0.3, ge=0, le=1)
    """Share of the examples whose history keeps its newest events only, down to none: teaches short histories."""
    drop_field: float = Field(default=0.1, ge=0, le=1)
    """Probability with which a metadata field disappears from all cards of an example."""
    drop_values: float = Field(default=0.1, ge=0, le=1)
    """Probability with which the ratings disappear from the history."""


def augmented(example: Example, settings: AugmentSettings, generator: np.random.Generator) -> Example:
    """The example with the variations that the generator draws. The slate, its targets and its offset stay.

    Equal generators give equal examples.
    """
    truncate, values = generator.random(2) < (settings.truncate, settings.drop_values)
    history = example.history
    if truncate:
        history = truncated(history, generator)
    if values:
        history = History(history.user_id, tuple(replace(entry, value=None) for entry in history.entries))
    names = sorted({name for candidate in example.candidates.items for name in candidate.item.metadata})
    dropped = {name for name in names if generator.random() < settings.drop_field and name != "domain"}
    candidates = example.candidates
    if dropped:
        history, candidates = without_fields(history, candidates, dropped)
    return replace(example, history=history, candidates=candidates)


def truncated(history: History, generator: np.random.Generator) -> History:
    """The newest events only; of n, floor((n + 1)^u) - 1 with u uniform in [0, 1): few rather than many."""
    kept = int((len(history.entries) + 1) ** generator.random()) - 1
    return History(history.user_id, history.entries[len(history.entries) - kept :])


def without_fields(history: History, candidates: Candidates, names: Collection[str]) -> tuple[History, Candidates]:
    """History and slate whose items lack the named metadata fields."""

    def bare(item: Item) -> Item:
        return replace(item, metadata={name: value for name, value in item.metadata.items() if name not in names})

    entries = tuple(replace(entry, item=bare(entry.item)) for entry in history.entries)
    slate = tuple(replace(candidate, item=bare(candidate.item)) for candidate in candidates.items)
    return History(history.user_id, entries), replace(candidates, items=slate)
