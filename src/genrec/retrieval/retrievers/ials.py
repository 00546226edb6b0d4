"""iALS: matrix factorisation of all user-item pairs, with the user solved anew from each query."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from genrec.artifacts.tensors import read_tensors, write_tensors
from genrec.data.histories import HistoryArrays
from genrec.data.interactions import Interactions
from genrec.domain import Item
from genrec.retrieval.base import Scores
from genrec.retrieval.factors import Factors, implicit_module, product
from genrec.retrieval.matrices import histories, touched


class IalsRetriever:
    """score(i) = x . y_i with item factors Y and, for each query, the x that minimises

        sum over its items of c_i (1 - x . y_i)^2 + sum over all others of (x . y_i)^2 + regularization |x|^2

    with c_i = alpha * |sum of decay^j * pull over the query's events on i|, j = 0 the newest (Hu, Koren and Volinsky
    2008, as the library `implicit` computes it). Where the sum is negative, as for a no, 0 stands in the place of 1:
    -1 finds less on validation.
    With a decay of 1 x is the user factor that the model itself would compute.
    """

    name: ClassVar[str] = "ials"
    grid: ClassVar[Sequence[Mapping[str, Any]]] = (
        {"factors": 64, "regularization": 10.0, "alpha": 5.0, "decay": 0.8},
        {"factors": 64, "regularization": 10.0, "alpha": 5.0, "decay": 0.9},
        {"factors": 64, "regularization": 10.0, "alpha": 5.0, "decay": 1.0},
        {"factors": 64, "regularization": 50.0, "alpha": 20.0, "decay": 0.8},
        {"factors": 64, "regularization": 50.0, "alpha": 20.0, "decay": 0.95},
        {"factors": 128, "regularization": 10.0, "alpha": 100.0, "decay": 0.7},
    )

    def __init__(self, factors: Factors, regularization: float, alpha: float, decay: float) -> None:
        self._factors = factors
        self._regularization = regularization
        self._alpha = alpha
        self._decay = decay
        self._everything = factors.T @ factors + regularization * np.eye(factors.shape[1], dtype=np.float32)

    @classmethod
    def fit(
        cls,
        interactions: Interactions,
        items: Sequence[Item],
        *,
        factors: int = 64,
        regularization: float = 10.0,
        alpha: float = 5.0,
        decay: float = 0.8,
        iterations: int = 15,
        seed: int = 0,
    ) -> IalsRetriever:
        """Alternates `iterations` times."""
        learned = np.zeros((interactions.n_items, factors), dtype=np.float32)
        if len(interactions):
            with implicit_module("als") as als:
                model = als.AlternatingLeastSquares(
                    factors, regularization, alpha, iterations=iterations, random_state=seed
                )
                model.fit(touched(interactions), show_progress=False)
            learned = np.asarray(model.item_factors, dtype=np.float32)
        return cls(learned, regularization, alpha, decay)

    def with_query(self, decay: float) -> IalsRetriever:
        """The same fit with another decay."""
        return IalsRetriever(self._factors, self._regularization, self._alpha, decay)

    def scores(self, query: HistoryArrays) -> Scores:
        """Scores [I]; 0 everywhere without a history, and for items that nobody touched."""
        scores: Scores = product(self._factors, self.user_factor(query))
        return scores

    def user_factor(self, query: HistoryArrays) -> Factors:
        """The factor x of the query's user [factors], in closed form."""
        events = histories([query], len(self._factors), self._decay)
        events.sum_duplicates()
        confidence = self._alpha * np.abs(events.data)
        own = self._factors[events.indices]
        left = self._everything + own.T @ ((confidence - 1)[:, None] * own)
        solved: Factors = np.linalg.solve(left, own.T @ (confidence * (events.data > 0))).astype(np.float32)
        return solved

    def save(self, folder: Path) -> None:
        """Writes the item factors."""
        settings = {"regularization": self._regularization, "alpha": self._alpha, "decay": self._decay}
        write_tensors(folder, {"factors": self._factors}, settings)

    @classmethod
    def load(cls, folder: Path) -> IalsRetriever:
        """Reads what `save` wrote."""
        arrays, settings = read_tensors(folder)
        return cls(arrays["factors"], *(float(settings[key]) for key in ("regularization", "alpha", "decay")))
