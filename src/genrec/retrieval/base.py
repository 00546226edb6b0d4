"""What a retriever is: a fitted object that scores the whole catalogue for one query."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

import numpy as np
import numpy.typing as npt

from genrec.artifacts.alternatives import Alternatives
from genrec.data.histories import HistoryArrays
from genrec.data.interactions import Interactions
from genrec.domain import Item
from genrec.errors import SettingsError

Scores = npt.NDArray[np.float32]


class ItemFilters(Protocol):
    """What keeps items out of a list: `genrec.filtering.base.Filters`."""

    @property
    def refused(self) -> Mapping[str, str]:
        """Reason by id, for items that need not be looked at."""

    def reason(self, item: Item) -> str | None:
        """Why the item must not be proposed; None where it may."""


class Retriever(Protocol):
    """One alternative is one module of `genrec.retrieval.retrievers` with a class that satisfies this.

    Two more methods are used where a retriever has them. `batch_scores(queries)` gives the scores [q, I] of several
    queries at once. `with_query(decay=...)` gives the same fit with other values of those hyper-parameters that only
    say how a query is scored: choosing among them needs no new fit. Entries of a grid that share a fit stand together.
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

    def scores(self, query: HistoryArrays) -> Scores:
        """Scores of all items [I], higher is better; 0 where the retriever knows nothing. Never NaN."""

    def save(self, folder: Path) -> None:
        """Writes index files (safetensors, Arrow, JSON only)."""

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Reads what `save` wrote, memory-mapped where that helps."""


RETRIEVERS: Alternatives[Retriever] = Alternatives(
    "retriever", "genrec.retrieval.retrievers", Retriever, error=SettingsError
)
