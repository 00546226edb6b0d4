"""Label-position bias: does it matter where an item stands when the model reads it? Slates shown in another order.

By label: the mean over relevant items shown at label j of 1 / log2(place in the ranked list + 1), 0 beyond the first k
(with one relevant item this is its nDCG@k). A reader without bias, shown shuffled slates, has the same at every label;
the standard deviation over labels is the bias. Source: Zheng, Zhou, Meng, Zhou and Huang, Large language models are not
robust multiple choice selectors, ICLR 2024 (standard deviation of recalls); Hou et al., Large language models are
zero-shot rankers for recommender systems, ECIR 2024.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from genrec.data.interactions import IntArray
from genrec.data.ndcg import gains
from genrec.evaluation.lists import Lists, Values, hits
from genrec.evaluation.metrics import ndcg
from genrec.evaluation.replay import ReplayedRequest
from genrec.evaluation.significance import Difference, paired
from genrec.evaluation.suite.context import EvaluationContext
from genrec.evaluation.suite.served import ranked_of
from genrec.ranking.base import RankingTask
from genrec.ranking.labels import label_orders

NAME = "another_order"
"""What the replay with the other order is called."""
WITHOUT_LABELS = ("pointwise",)
"""Rankers that show the slate as it is; the others shuffle it by `label_orders`."""


def position_bias(
    ranker: str,
    served: Sequence[ReplayedRequest],
    reordered: Sequence[ReplayedRequest],
    seed: int,
    context: EvaluationContext,
    k: int,
) -> dict[str, Any] | None:
    """By the place at which items were shown: gain and number of relevant items; and what shuffling does to nDCG@k.

    `served` and `reordered` are answers of the same users, with the slates as they are and as `reordered` gives them.
    Only those count whose slate was read both times; None if there are none.
    """
    rows = [row for row, both in enumerate(zip(served, reordered, strict=True)) if all(one.was_read for one in both)]
    if not rows:
        return None
    served, reordered = ([replay[row] for row in rows] for replay in (served, reordered))
    shuffled, in_order = (reordered, served) if ranker in WITHOUT_LABELS else (served, reordered)
    targets = [context.split.targets[row] for row in rows]
    lists, plain = (Lists(ranked_of(replay, "llm", context), targets, k) for replay in (shuffled, in_order))
    gain, relevant = by_label(_presented(shuffled, seed, context, ranker), lists)
    effect = shuffle_effect(ndcg.per_user(lists), ndcg.per_user(plain))
    return {
        "slates": len(rows),
        "gain": [_number(value) for value in gain],
        "relevant": [int(value) for value in relevant],
        "deviation": _number(deviation(gain)),
        "shuffle_effect": {end: _number(getattr(effect, end)) for end in ("mean", "low", "high")},
    }


def by_label(presented: IntArray, lists: Lists) -> tuple[Values, Values]:
    """For each of n labels the mean gain of the relevant items shown there (NaN without any), and their number.

    `presented` [m, n] is the order in which the items of each list were shown, padded with -1.
    """
    relevant, top, k = hits(presented, lists.targets), lists.top, lists.k
    place = np.where(presented[:, :, None] == top[:, None], np.arange(top.shape[1]), k).min(axis=2, initial=k)
    gain = gains(place, k)
    n = relevant.sum(axis=0).astype(np.float64)
    return np.divide((gain * relevant).sum(axis=0), n, out=np.full(len(n), np.nan), where=n > 0), n


def deviation(gain: Values) -> float:
    """Standard deviation of gains over labels; NaN where fewer than two labels have relevant items."""
    known = gain[np.isfinite(gain)]
    return float(known.std(ddof=1)) if len(known) > 1 else float("nan")


def shuffle_effect(shuffled: Values, retriever: Values, seed: int = 0) -> Difference:
    """What reading slates shuffled [m] instead of in the retriever's order [m] changes in a metric of the same m users.

    As a share of the mean in the retriever's order, which is taken as known; NaN where that is 0.
    """
    scale = float(retriever.mean()) or float("nan")
    return paired(shuffled / scale, retriever / scale, seed=seed)


def _presented(replay: Sequence[ReplayedRequest], seed: int, context: EvaluationContext, ranker: str) -> IntArray:
    """Item positions [m, n] of shuffled slates in the order in which the model was shown them, padded with -1."""
    slates = ranked_of(replay, "slate", context)
    presented = np.full_like(slates, -1)
    for row, slate in enumerate(slates):
        n = len(replay[row].lists["slate"])
        order = label_orders(n, 1, seed)[0]
        presented[row, :n] = slate[np.argsort(order) if ranker in WITHOUT_LABELS else order]
    return presented


def reordered(task: RankingTask) -> RankingTask:
    """The task with its slate in an order that undoes the shuffling of rankers that shuffle.

    They then read in the order of the retriever; the others, which served reads so, read shuffled: line j of a shuffled
    prompt, which has candidate order[j], is to have what the retriever put at place j.
    """
    slate = task.candidates.items
    back: npt.NDArray[np.intp] = np.argsort(label_orders(len(slate), 1, task.seed)[0])
    return replace(task, candidates=replace(task.candidates, items=tuple(slate[place] for place in back)))


def _number(value: float) -> float | None:
    return round(float(value), 6) if np.isfinite(value) else None
