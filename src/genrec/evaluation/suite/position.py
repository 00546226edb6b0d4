"""Does it matter where an item stands when the model reads it? The slates again, shown in another order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from genrec.data.interactions import IntArray
from genrec.domain import RankedItem, Ranking
from genrec.evaluation.metrics import label_position, ndcg
from genrec.evaluation.suite.bench import EvaluationContext
from genrec.evaluation.suite.served import ReplayedRequest, ranked_of
from genrec.prompting.rendered import RenderedPrompt
from genrec.ranking.base import DelegatingRanker, RankingTask
from genrec.ranking.labels import label_orders

NAME = "another_order"
"""What the walk with the other order is called."""
WITHOUT_LABELS = ("pointwise",)
"""Rankers that show the slate as it is; the others shuffle it by `label_orders`."""


class Reordered(DelegatingRanker):
    """A ranker that is given its slate in another order: one that undoes the shuffling of those that shuffle.

    They then read in the order of the retriever; the others, which served reads so, read shuffled.
    """

    def render(self, task: RankingTask) -> RenderedPrompt:
        """See Ranker."""
        return self.inner.render(_reordered(task))

    async def rank(
        self, task: RankingTask, k: int | None = None, on_item: Callable[[RankedItem], None] | None = None
    ) -> Ranking:
        """See Ranker."""
        return await self.inner.rank(_reordered(task), k, on_item)


def position_bias(
    ranker: str,
    served: Sequence[ReplayedRequest],
    reordered: Sequence[ReplayedRequest],
    seed: int,
    bench: EvaluationContext,
    k: int,
) -> dict[str, Any] | None:
    """By the place at which items were shown: gain and number of relevant items; and what shuffling does to nDCG@k.

    `served` and `reordered` are answers of the same users, with the slates as they are and as `Reordered` gives them.
    Only those count whose slate was read both times; None if there are none. See
    `genrec.evaluation.metrics.label_position`.
    """
    rows = [row for row, both in enumerate(zip(served, reordered, strict=True)) if all(one.was_read for one in both)]
    if not rows:
        return None
    served, reordered = ([walk[row] for row in rows] for walk in (served, reordered))
    shuffled, in_order = (reordered, served) if ranker in WITHOUT_LABELS else (served, reordered)
    targets = [bench.split.targets[row] for row in rows]
    lists = {name: ranked_of(walk, "llm", bench) for name, walk in (("shuffled", shuffled), ("in_order", in_order))}
    found = label_position.by_label(_presented(shuffled, seed, bench, ranker), lists["shuffled"], targets, k)
    values = {name: ndcg.per_user(ranked, targets, k) for name, ranked in lists.items()}
    effect = label_position.shuffle_effect(values["shuffled"], values["in_order"])
    return {
        "slates": len(rows),
        "gain": [_number(value) for value in found.gain],
        "relevant": [int(value) for value in found.relevant],
        "deviation": _number(found.deviation),
        "shuffle_effect": {end: _number(getattr(effect, end)) for end in ("mean", "low", "high")},
    }


def _presented(walk: Sequence[ReplayedRequest], seed: int, bench: EvaluationContext, ranker: str) -> IntArray:
    """Item positions [m, n] of shuffled slates in the order in which the model was shown them, padded with -1."""
    slates = ranked_of(walk, "slate", bench)
    presented = np.full_like(slates, -1)
    for row, slate in enumerate(slates):
        n = len(walk[row].lists["slate"])
        order = label_orders(n, 1, seed)[0]
        presented[row, :n] = slate[np.argsort(order) if ranker in WITHOUT_LABELS else order]
    return presented


def _reordered(task: RankingTask) -> RankingTask:
    """Line j of a shuffled prompt, which has candidate order[j], is to have what the retriever put at place j."""
    slate = task.candidates.items
    back: npt.NDArray[np.intp] = np.argsort(label_orders(len(slate), 1, task.seed)[0])
    return replace(task, candidates=replace(task.candidates, items=tuple(slate[place] for place in back)))


def _number(value: float) -> float | None:
    return round(float(value), 6) if np.isfinite(value) else None
