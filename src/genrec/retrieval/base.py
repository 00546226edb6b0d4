"""What a retriever is: a fitted object that scores the whole catalogue for one query."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

import numpy as np
import numpy.typing as npt

from genrec.data.interactions import FloatArray, IntArray, Interactions
from genrec.domain import Item

Scores = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Query:
    """One user's history as columns, oldest first. `now` is the time of the request, in the log's unit."""

    item: IntArray
    timestamp: FloatArray
    value: FloatArray
    now: float


class Retriever(Protocol):
    """One alternative is one module of `genrec.retrieval.retrievers` with a class that satisfies this.

    Two more methods are used where a retriever has them. `batch_scores(queries)` gives the scores [q, I] of several
    queries at once. `asking(decay=...)` gives the same fit with other values of those hyper-parameters that only say
    how a query is scored: choosing among them needs no new fit. Entries of a grid that share a fit stand together.
    """

    name: ClassVar[str]
    grid: ClassVar[Sequence[Mapping[str, Any]]]
    """Hyper-parameters to choose from on validation; the first entry is the default.

    In the box every grid has six entries (`semantic` three, one for each way to look back), so that baselines are tuned
    by the same budget as what is compared with them.
    """

    @classmethod
    def fit(cls, interactions: Interactions, items: Sequence[Item], **hyper_parameters: Any) -> Self:
        """Fits on a log. `items` is the catalogue in the order of `interactions.item_ids`."""

    def scores(self, query: Query) -> Scores:
        """Scores of all items [I], higher is better; 0 where the retriever knows nothing. Never NaN."""

    def save(self, folder: Path) -> None:
        """Writes index files (safetensors, Arrow, JSON only)."""

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Reads what `save` wrote, memory-mapped where that helps."""
