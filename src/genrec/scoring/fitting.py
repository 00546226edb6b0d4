"""Fitting of both heads: network or weighted sum chosen on validation, then probabilities made honest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from genrec.data.interactions import Interactions
from genrec.data.labels import Rows
from genrec.scoring.calibration import (
    PlaceCalibration,
    PoolCalibration,
    auc,
    expected_calibration_error,
    fit_calibration,
    fit_holds,
    fit_places,
    fit_temperature,
    log_loss,
)
from genrec.scoring.features import MONOTONE, Floats, column_names
from genrec.scoring.heads import Heads, ndcg_of
from genrec.scoring.item_texts import ItemTexts
from genrec.scoring.linear import LinearWeights, fit_linear
from genrec.scoring.pools import ShownPool, TrainingPool, TrainingPools
from genrec.scoring.query import fit_query_weights
from genrec.scoring.rated import RatedPairs, rated_pairs
from genrec.text.encoders import Progress

ENOUGH_POOLS = 300
"""With fewer training pools no network is fitted for clicks."""
ENOUGH_HELD_OUT = 50
"""With fewer validation pools the few numbers of the calibration are learned on all pools."""
_HELD_OUT = 0.2
"""The latest share of shown lists, on which places are learned and nothing else."""
_MOST = 10.0
"""A click counts at most so many times as much as one at the first place."""


def fit_heads(
    interactions: Interactions,
    pools: TrainingPools,
    rated: Rows,
    rates: Rows,
    texts: ItemTexts,
    liked: float,
    length: int,
    seed: int = 0,
    progress: Progress | None = None,
) -> tuple[Heads, dict[str, Any]]:
    """The heads, and an account of what they were learned on.

    Click logits are those of the network or of a weighted sum, whichever has the higher NDCG@10 on validation; of
    equals the simpler. Where lists were shown, P(click) is calibrated on the latest of them, else on validation pools.
    `rates` are the rows that rates of items are counted in (see `rated_pairs`).
    """
    vectors = texts.vectors
    train = _usable(pools.train)
    linear = fit_linear([pool.features for pool in train], [pool.target or 0 for pool in train])
    start = Heads(linear=linear, parts=pools.parts)
    shown = pools.shown[: len(pools.shown) - len(_latest(pools.shown))]
    lessons = [*train, *_clicked(shown, _places(start, shown, vectors).eta)]
    blocks = list(rated_pairs(interactions, rated, rates, texts, liked, length, progress=progress))
    enough = len(lessons) >= ENOUGH_POOLS and bool(_usable(pools.validation))
    if enough or blocks:
        from genrec.scoring.training import Training, fit_network

        monotone = np.isin(column_names(pools.parts), MONOTONE)
        of_rows = RatedPairs.joined(blocks[:-1]) if blocks else None
        network = fit_network(vectors, lessons if enough else (), of_rows, monotone, Training(seed=seed), progress)
        start = replace(start, network=network)
    heads, reached = _chosen(start, enough, _usable(pools.validation), vectors)
    heads, of_clicks = _calibrated(heads, pools, vectors)
    heads, of_likes = _with_likes(heads, blocks, vectors, seed)
    says = {"p_click": of_clicks} | ({"p_like": of_likes["says"]} if of_likes else {})
    record = {
        "says": says,
        "click": {
            "head": heads.click,
            "pools": len(train),
            "positions": len(pools.train),
            "validation_pools": len(_usable(pools.validation)),
            "validation_positions": len(pools.validation),
            "validation_ndcg@10": reached,
            "shown_lists": len(pools.shown),
            "calibration": asdict(heads.calibration),
            "query": asdict(heads.query),
        },
        "like": of_likes or None,
        "seed": seed,
    }
    return heads, record


def _usable(pools: Sequence[TrainingPool]) -> list[TrainingPool]:
    return [pool for pool in pools if pool.target is not None and len(pool.features) > 1]


def _latest(shown: Sequence[ShownPool]) -> Sequence[ShownPool]:
    return shown[len(shown) - round(_HELD_OUT * len(shown)) :]


def _clicked(shown: Sequence[ShownPool], eta: float) -> list[TrainingPool]:
    """Each click as a pool of what was shown with it, weighted by the inverse of how often its place is looked at."""
    return [
        TrainingPool(one.features, int(target), min(float(one.places[target]) ** eta, _MOST))
        for one in shown
        for target in np.flatnonzero(one.clicked)
        if len(one.features) > 1
    ]


def _places(heads: Heads, shown: Sequence[ShownPool], vectors: Floats) -> PlaceCalibration:
    if not shown:
        return PlaceCalibration()
    logits = np.concatenate([heads.click_logits(one.features, vectors) for one in shown])
    places, clicked = (np.concatenate([getattr(one, name) for one in shown]) for name in ("places", "clicked"))
    return fit_places(logits, places, clicked)


def _chosen(
    start: Heads, enough: bool, validation: Sequence[TrainingPool], vectors: Floats
) -> tuple[Heads, dict[str, float]]:
    """The simplest of the best heads on validation, and NDCG@10 of each; the weighted sum without validation."""
    tried = {"retriever": replace(start, linear=LinearWeights()), "linear": start}
    if enough:
        tried["network"] = replace(start, click="network")
    if not validation:
        return start, {}
    reached = {
        name: float(
            np.mean([ndcg_of(heads.click_logits(one.features, vectors), one.target or 0) for one in validation])
        )
        for name, heads in tried.items()
    }
    best = max(reached, key=lambda name: reached[name])
    return tried[best], {name: round(value, 6) for name, value in reached.items()}


def _calibrated(heads: Heads, pools: TrainingPools, vectors: Floats) -> tuple[Heads, str]:
    """The heads with honest probabilities and weights for queries, and what P(click) then is, in words."""
    few = heads.click == "linear" and len(pools.validation) < ENOUGH_HELD_OUT
    held = [*pools.validation, *(pools.train if few else ())]
    raw = [heads.click_logits(pool.features, vectors) for pool in held]
    if pools.shown:
        heads = replace(heads, calibration=_places(heads, _latest(pools.shown), vectors))
    else:
        taken = [(logits, pool.target) for logits, pool in zip(raw, held, strict=True) if pool.target is not None]
        heads = replace(heads, calibration=PoolCalibration(fit_temperature(taken)))
    scaled = heads.calibration.scaled
    asked = [(scaled(heads.click_logits(pool.features, vectors)), pool) for pool in pools.asked]
    heads = replace(heads, query=fit_query_weights(asked))
    if isinstance(heads.calibration, PlaceCalibration):
        latest = _latest(pools.shown)
        shown, clicks = sum(len(one.places) for one in latest), sum(one.clicked.sum() for one in latest)
        return heads, (
            f"the probability that the item is clicked when it is shown at the first place: learned on {shown:,} "
            f"shown items with {clicks:,.0f} clicks; at place k an item is looked at with probability "
            f"k^-{heads.calibration.eta:.2f}"
        )
    seen = [(scaled(logits), pool.features.events, False) for logits, pool in zip(raw, held, strict=True)]
    seen += [(logits + heads.query.bonus(pool.features), pool.features.events, True) for logits, pool in asked]
    holds = np.array([float(pool.target is not None) for pool in (*held, *pools.asked)])
    heads = replace(heads, calibration=fit_holds(heads.calibration.temperature, seen, holds))
    if not held:
        return heads, "a guess: there was nothing to learn it on"
    return heads, (
        "the probability that the item is the one the user takes next: learned on what was taken at "
        f"{len(pools.train):,} held-out positions, calibrated on {len(held):,}"
    )


def _with_likes(heads: Heads, blocks: Sequence[RatedPairs], vectors: Floats, seed: int) -> tuple[Heads, dict[str, Any]]:
    """The heads with a like head calibrated on the latest rated rows, and how good it is on them."""
    if not blocks or heads.network is None:
        return heads, {}
    held = blocks[-1]
    logits = heads.like_logits(held, vectors)
    half = np.random.default_rng(seed).permutation(len(held)) % 2
    p = np.zeros(len(held))
    for part in (0, 1):  # the probabilities of each half are calibrated on the other half
        rest = half != part
        p[half == part] = fit_calibration(logits[rest], held.label[rest], seed=seed)(logits[half == part])
    rows = sum(map(len, blocks))
    like = fit_calibration(logits, held.label, seed=seed)
    return replace(heads, like=like), {
        "says": f"the probability that the item is liked if it is taken: learned on {rows:,} ratings",
        "rows": rows,
        "calibration": like.kind,
        "validation": {
            "rows": len(held),
            "auc": round(auc(held.label, p), 5),
            "log_loss": round(log_loss(held.label, p), 5),
            "calibration_error": round(expected_calibration_error(held.label, p), 5),
        },
    }
