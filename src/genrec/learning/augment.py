"""Variations of an example: shorter histories, fewer fields and values, and now and then a request in words."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np
from pydantic import Field

from genrec.domain import Candidates, History, Item
from genrec.learning.base import Example
from genrec.learning.config import Section
from genrec.learning.requests import Phase, RequestSimulator


class AugmentSettings(Section):
    """How often which variation is made; 0 is never."""

    truncate: float = Field(default=0.3, ge=0, le=1)
    """Share of the examples whose history keeps its newest events only, down to none: teaches short histories."""
    drop_field: float = Field(default=0.1, ge=0, le=1)
    """Probability with which a metadata field disappears from all cards of an example."""
    drop_values: float = Field(default=0.1, ge=0, le=1)
    """Probability with which the ratings disappear from the history."""
    requests: float = Field(default=0.0, ge=0, le=1)
    """Share of the examples with a simulated request for the item chosen (see `RequestSimulator`)."""


def augmented(
    example: Example,
    settings: AugmentSettings,
    generator: np.random.Generator,
    chosen: Item | None = None,
    simulator: RequestSimulator | None = None,
) -> Example:
    """The example with the variations that the generator draws; `chosen` is the item that a request is made for.

    The slate, its targets and its offset stay. Equal generators give equal examples.
    """
    truncate, values, request = generator.random(3) < (settings.truncate, settings.drop_values, settings.requests)
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
    text = example.request
    if request and chosen is not None and simulator is not None:
        text = simulator.request(chosen, generator) or text
    return replace(example, history=history, candidates=candidates, request=text)


def requested(
    examples: Sequence[Example], simulator: RequestSimulator, seed: int = 0, phase: Phase = "test"
) -> list[Example]:
    """The examples with a simulated request each, for the item with the largest target.

    Those whose item has no word of the vocabulary are left out. What a request says depends on seed and place only.
    """
    made = []
    for place, example in enumerate(examples):
        chosen = example.candidates.items[int(np.argmax(example.target))].item
        text = simulator.request(chosen, np.random.default_rng([seed, place]), phase)
        if text is not None:
            made.append(replace(example, request=text))
    return made


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
