"""How good P(like) is on held-out ratings: order, honesty, and what is gained over two smoothed rates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from genrec.data.labels import Rows
from genrec.data.splits import by_name
from genrec.data.store import Store
from genrec.errors import DataError
from genrec.evaluation import metrics, significance
from genrec.evaluation.likes import BASELINE, DEFINITION, Predictions, predict_held_out
from genrec.evaluation.metrics import Values
from genrec.evaluation.protocol import LEAK, few_users, left_out
from genrec.evaluation.tables import Measured, Table, table_of
from genrec.settings import Settings
from genrec.text.encoders import CachedEncoder, Encoder, Progress, load_encoder

METRICS = ("auc", "grouped_auc", "log_loss", "calibration_error")
_ROW_BUDGET = 20_000_000


def evaluate_clicks(
    store: Store,
    settings: Settings,
    split: str = "temporal",
    users: Sequence[str] | None = None,
    *,
    seed: int = 0,
    encoder: Encoder | None = None,
    cache_folder: Path | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Fits what is served on the training part and judges P(like) on the held-out ratings, beside `item + user rate`.

    Events of users who are new after the split are judged too, because P(like) is served for them, and so are noes,
    which no split has as targets (see `likes.predict_held_out`). Raises DataError where nothing, or only one kind of
    event, is held out.
    """
    interactions = store.interactions()
    leaks = by_name(split, interactions).leaks
    items = list(store.all_items())
    given = encoder or load_encoder(settings.encoder)
    cached = given if isinstance(given, CachedEncoder) else CachedEncoder(given, cache_folder)
    predictions = predict_held_out(interactions, items, settings, split, encoder=cached, seed=seed, progress=progress)
    if users is not None:
        predictions = _restricted(predictions, interactions.user_ids, users)
    rows = predictions.rows
    n_users = len(np.unique(rows.user))
    return {
        "systems": click_table(rows.user, rows.label, predictions.systems, METRICS, seed=seed, progress=progress),
        "users": n_users,
        "rows": len(rows),
        "click_rate": round(float(rows.label.mean()), 6),
        "labels": predictions.record["says"]["p_like"],
        "split": split,
        "warnings": [*([LEAK] if leaks else []), *left_out(users, n_users), *few_users(n_users)],
        "headline": list(METRICS),
        "definitions": {**{name: metrics.metric(name).DEFINITION for name in METRICS}, "rows": DEFINITION},
        "fitted": predictions.record,
    }


def click_table(
    user: Any,
    clicked: Values,
    systems: Mapping[str, Values],
    names: Sequence[str],
    *,
    comparisons: Sequence[tuple[str, str]] = (("genrec", BASELINE),),
    seed: int = 0,
    progress: Progress | None = None,
) -> Table:
    """Click metrics over rows: `user` and `clicked` [R], and each system's P(click) [R].

    Intervals and differences are of a bootstrap over users that draws all rows of a user together, the same users for
    all systems. Resamples without both outcomes, where a metric is undefined, are left out. Metrics are those of rows
    and those within users; differences are adjusted for their number (Holm).
    """
    people, owner = np.unique(user, return_inverse=True)
    resamples = int(np.clip(_ROW_BUDGET // max(len(clicked), 1), 200, significance.RESAMPLES))
    drawn = np.empty((resamples, len(systems), len(names)))
    done = 0
    for weights in significance.user_weights(len(people), resamples, seed):
        for weight in weights:
            chosen = np.repeat(np.arange(len(clicked)), weight[owner].astype(np.int64))
            drawn[done] = _measures(owner[chosen], clicked[chosen], [p[chosen] for p in systems.values()], names)
            done += 1
            if progress and done % 50 == 0:
                progress("resampling users", done, resamples)
    estimates = _measures(owner, clicked, list(systems.values()), names)
    measured = {name: Measured(estimates[place], drawn[:, place]) for place, name in enumerate(systems)}
    compared = {pair: measured[pair[0]].minus(measured[pair[1]]) for pair in comparisons}
    return table_of(measured, compared, names)


def _measures(
    owner: npt.NDArray[np.integer], clicked: Values, predictions: Sequence[Values], names: Sequence[str]
) -> Values:
    """Values [systems, metrics]. A user who was drawn twice has all rows twice: their AUC stays, and weighs double."""
    chosen = [metrics.metric(name) for name in names]
    return np.array([[one.over_rows(owner, clicked, p) for one in chosen] for p in predictions])


def _restricted(predictions: Predictions, user_ids: Any, users: Sequence[str]) -> Predictions:
    rows = predictions.rows
    positions = np.flatnonzero(np.isin(user_ids.astype(str), list(set(users))))
    keep = np.flatnonzero(np.isin(rows.user, positions))
    if not len(keep):
        raise DataError(
            f"none of the {len(set(users))} given users has held-out events",
            "give users who were active after the split; look at the log with: genrec data describe",
        )
    chosen: Rows = rows.take(keep)
    return Predictions(chosen, {name: p[keep] for name, p in predictions.systems.items()}, predictions.record)
