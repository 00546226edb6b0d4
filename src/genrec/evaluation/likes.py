"""P(like) of held-out ratings, beside what two smoothed rates say. `genrec.evaluation.clicks` measures both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from genrec.data.histories import spans
from genrec.data.interactions import FloatArray, Interactions
from genrec.data.item_statistics import PRIOR
from genrec.data.labels import Rows, event_labels, rated_rows
from genrec.data.splits import by_name
from genrec.domain import Item
from genrec.errors import DataError
from genrec.fitting.workspace import fit_log
from genrec.scoring.calibration import fit_logistic, to_logit
from genrec.settings import Settings
from genrec.text.encoders import Encoder, Progress

BASELINE = "item + user rate"
DEFINITION = (
    "rows are all ratings after the training part, low ones included, of all users, known or new (leave-one-out: the "
    "last event of each user that is no dislike or low rating, and those that follow it); each is scored with its "
    "user's events strictly before it and with item statistics of the training part"
)


@dataclass(frozen=True, eq=False)
class Predictions:
    """Held-out rows and each system's P(like) [R] for them."""

    rows: Rows
    systems: dict[str, FloatArray]
    record: dict[str, Any]


def predict_held_out(
    interactions: Interactions,
    items: Sequence[Item],
    settings: Settings,
    split: str = "temporal",
    *,
    encoder: Encoder | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Predictions:
    """Fits all that is served on the training part of a split, and predicts every rating after it.

    Low ratings are rows though they are never targets: P(like) has to tell them from the rest. Leave-one-out holds out
    the last event of each user that says no to nothing, which alone would be rows without noes; with the noes that
    follow it, which nothing is fitted on either, the share of what is liked is about that of the log.

    Raises DataError if nothing is rated, or the held-out ratings are not of both kinds.
    """
    train = by_name(split, interactions).train
    # Both splits keep the oldest events of each user.
    place = np.arange(len(interactions)) - interactions.indptr[interactions.user]
    test = interactions.select(place >= np.diff(train.indptr)[interactions.user])
    liked = settings.scoring.liked
    rows, learned = rated_rows(test, liked), rated_rows(train, liked)
    if not len(rows) or not len(learned):
        raise DataError(
            "the held-out events are not rated, or all liked or all disliked: there is no P(like) to judge",
            "bring a log with ratings of both kinds; P(click) is judged by how it ranks: genrec eval SUITE",
        )
    scorer = fit_log(train, items, settings, encoder=encoder, split=split, seed=seed, progress=progress).scorer
    if scorer.heads.like is None:
        raise DataError("there are too few ratings to learn P(like) from", "bring a longer log")
    p = scorer.p_like(interactions, rows.user, rows.item, rows.now)
    baseline = two_rates(learned, train, rows, interactions, liked, settings.retrieval.history)
    return Predictions(rows, {"genrec": p, BASELINE: baseline}, dict(scorer.record))


def two_rates(
    learned: Rows, train: Interactions, rows: Rows, whole: Interactions, liked: float, newest: int
) -> FloatArray:
    """Logistic regression on the logits of the smoothed rate of the item and of the user [R].

    A rate is (clicks + 5 * base rate) / (n + 5). Learned on the later half of the `learned` rows (earlier ones have
    hardly any statistics) with rates as of each of them; asked with item rates of all of them, and user rates as of
    each of `rows`. A user's rate is over their `newest` events, the same that the scorer sees.
    """
    base = float(learned.label.mean())
    order = np.lexsort((learned.now, learned.item))
    before = np.empty((len(learned), 2))
    before[order] = running_counts(learned.item[order], learned.label[order])
    half = np.arange(len(learned)) >= len(learned) // 2
    item = to_logit((before[:, 1] + PRIOR * base) / (before[:, 0] + PRIOR))
    user = to_logit(user_rate(train, learned, liked, base, newest))
    model = fit_logistic(np.column_stack([item, user])[half], learned.label[half])
    size = train.n_items
    clicks, count = np.bincount(learned.item, learned.label, size), np.bincount(learned.item, minlength=size)
    item_now = to_logit((clicks + PRIOR * base) / (count + PRIOR))[rows.item]
    return model(np.column_stack([item_now, to_logit(user_rate(whole, rows, liked, base, newest))]))


def running_counts(group: npt.NDArray[np.int32], label: FloatArray) -> FloatArray:
    """Count and sum of labels of earlier rows of the same group [R, 2]; rows stand grouped."""
    first = np.flatnonzero(np.r_[True, group[1:] != group[:-1]]) if len(group) else np.zeros(0, dtype=np.int64)
    start = np.repeat(first, np.diff(np.r_[first, len(group)]))
    total = np.concatenate(([0.0], np.cumsum(label)))
    place = np.arange(len(group))
    return np.column_stack([place - start, total[place] - total[start]])


def user_rate(log: Interactions, rows: Rows, liked: float, base: float, newest: int) -> FloatArray:
    total = np.concatenate(([0.0], np.cumsum(event_labels(log.value, liked))))
    start, end = spans(log, rows.user, rows.now)
    start = np.maximum(start, end - newest)
    rate: FloatArray = (total[end] - total[start] + PRIOR * base) / (end - start + PRIOR)
    return rate
