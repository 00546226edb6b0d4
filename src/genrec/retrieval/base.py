"""What a retriever is: a fitted object that scores the whole catalogue for one query."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

import numpy as np
import numpy.typing as npt

from genrec.artifacts.alternatives import Alternatives
from genrec.data.interactions import BoolArray, FloatArray, IntArray, Interactions
from genrec.domain import Item
from genrec.errors import SettingsError

Scores = npt.NDArray[np.float32]

PUSH = -0.25
"""Events that say no push away what is near their items, a quarter as much as others pull it.

Of six values this is the smallest that does best on the temporal validation of MovieLens-100k: co-visitation has
NDCG@10 .130 with it, and .119 where low ratings pull like high ones.
"""


@dataclass(frozen=True, eq=False)
class Query:
    """One user's history as columns, oldest first. `now` is the time of the request, in the log's unit.

    `no` marks the events that say no to their items (None: none of them does).
    """

    item: IntArray
    timestamp: FloatArray
    value: FloatArray
    now: float
    no: BoolArray | None = None

    @classmethod
    def of_rows(cls, interactions: Interactions, rows: slice, now: float) -> Query:
        """Some rows of one user in a log."""
        value = interactions.value[rows]
        no = interactions.scale.noes(value)
        return cls(interactions.item[rows], interactions.timestamp[rows], value, now, no)

    @property
    def pull(self) -> npt.NDArray[np.float32]:
        """How much each event pulls what is near its item: 1, and `PUSH` for one that says no."""
        pull = np.ones(len(self.item), dtype=np.float32)
        if self.no is not None:
            pull[self.no] = PUSH
        return pull


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


RETRIEVERS: Alternatives[Retriever] = Alternatives(
    "retriever", "genrec.retrieval.retrievers", Retriever, error=SettingsError
)
