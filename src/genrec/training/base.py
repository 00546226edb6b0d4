"""What is learned from: slates with what the user chose, and the same slates as the model reads them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from genrec.data.interactions import FloatArray
from genrec.domain import Candidates, History
from genrec.facts.extract import FactExtractor


@dataclass(frozen=True, eq=False)
class Example:
    """One slate of n candidates and what should be said of it.

    `target` [n] sums to 1: one-hot for the item chosen, soft where a teacher or graded feedback speaks. `weight` is the
    inverse propensity of the example. `offset` [n], where given, are scores of a fixed part (the second stage) that the
    loss adds to the model's, so that the model learns what that part does not know. `query` and `context` are what a
    caller would say. `evidence` knows what the system knew without the target, for templates that ask for it.
    """

    history: History
    candidates: Candidates
    target: FloatArray
    weight: float = 1.0
    offset: FloatArray | None = None
    query: str | None = None
    context: Mapping[str, str] | None = None
    evidence: FactExtractor | None = None


@dataclass(frozen=True, eq=False)
class TokenSlate:
    """An example rendered by the serving renderer.

    Yes-no templates: `suffixes` has one tail for each candidate behind the shared `prefix`, `label_ids` are (yes, no).
    Label templates: `suffixes` is empty, `label_ids[i]` is the label token of candidate i. The rest is as in `Example`.
    """

    prefix: tuple[int, ...]
    suffixes: tuple[tuple[int, ...], ...]
    label_ids: tuple[int, ...]
    target: FloatArray
    weight: float = 1.0
    offset: FloatArray | None = None

    @property
    def tokens(self) -> int:
        """Tokens of one forward pass, the history once and every candidate behind it."""
        return len(self.prefix) + sum(map(len, self.suffixes))


class ExampleSource(Protocol):
    """Examples by number: equal arguments give equal examples, so that training resumes where it stopped."""

    def __len__(self) -> int:
        """Examples of one epoch."""

    def example(self, epoch: int, index: int, difficulty: float) -> Example:
        """Example `index` of an epoch; `difficulty` from 0 (negatives at random) to 1 (as hard as those served)."""
