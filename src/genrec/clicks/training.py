"""From labelled rows to a calibrated network: rows described block by block, fitted, calibrated and measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from genrec.clicks.calibration import (
    Calibration,
    auc,
    expected_calibration_error,
    fit_calibration,
    log_loss,
)
from genrec.clicks.histories import Index
from genrec.clicks.labels import Rows
from genrec.clicks.network import Network
from genrec.clicks.pairs import Pairs, describe
from genrec.clicks.statistics import ItemSide, Statistics
from genrec.data.interactions import FloatArray, Interactions
from genrec.domain import Item
from genrec.text.encoders import Progress

BLOCKS = 8
"""Training rows are cut into this many blocks by time; each is described by statistics of the time before it."""
FEWEST_ROWS = 200
"""With fewer labelled rows, or of one kind only, there is no network."""


@dataclass(frozen=True, eq=False)
class Learned:
    """`network` is None where there was too little to learn from; `calibration` is the identity then."""

    network: Network | None
    calibration: Calibration
    record: dict[str, Any]


def learn(
    interactions: Interactions,
    items: Sequence[Item],
    side: ItemSide,
    rows: Rows,
    *,
    liked: float,
    history: int,
    validation_fraction: float,
    seed: int,
    progress: Progress | None,
) -> Learned:
    """Fits network and calibration on rows in order of time; the latest `validation_fraction` is the validation.

    The first block has nothing before it that could describe it, and is left out.
    """
    blocks = _blocks(rows, validation_fraction)
    if len(blocks) < 3 or not _both(rows.take(blocks[-1])):
        return Learned(None, Calibration(), {"calibration": "none"})
    from genrec.clicks.model import Training, fit_net

    described: list[Pairs] = []
    for number, block in enumerate(blocks[1:], start=1):
        if progress:
            progress("click features", number, len(blocks) - 1)
        statistics = Statistics.fit(interactions, items, rows, liked, until=float(rows.now[block[0]]))
        described.append(describe(statistics, side, interactions, rows.take(block), history))
    train, held = Pairs.joined(described[:-1]), described[-1]
    labels, held_labels = rows.label[np.concatenate(blocks[1:-1])], rows.label[blocks[-1]]
    network, fitted = fit_net(side.vectors, train, labels, held, held_labels, Training(seed=seed), progress=progress)
    logits = network.logits(side.vectors, held)
    calibration = fit_calibration(logits, held_labels, seed=seed)
    measures = _measures(logits, held_labels, seed)
    return Learned(network, calibration, {"network": fitted, "validation": measures, "calibration": calibration.kind})


def _blocks(rows: Rows, validation_fraction: float) -> list[Index]:
    """Rows of each block, in order of time; the last is the validation. Rows of one moment stay together."""
    if len(rows) < FEWEST_ROWS or not _both(rows):
        return []
    cut = 1 - validation_fraction
    edges = [rows.now[int(len(rows) * share)] for share in (*np.linspace(0, cut, BLOCKS + 1)[1:-1], cut)]
    of_row = np.searchsorted(np.unique(edges), rows.now, "right")
    return [np.flatnonzero(of_row == block) for block in np.unique(of_row)]


def _both(rows: Rows) -> bool:
    return bool(len(rows)) and bool(rows.label.min() < rows.label.max())


def _measures(logits: FloatArray, labels: FloatArray, seed: int) -> dict[str, Any]:
    """Measures on validation; the probabilities of each half are calibrated on the other half."""
    half = np.random.default_rng(seed).permutation(len(labels)) % 2
    p = np.zeros(len(labels))
    for part in (0, 1):
        rest = half != part
        p[half == part] = fit_calibration(logits[rest], labels[rest], seed=seed)(logits[half == part])
    return {
        "rows": len(labels),
        "auc": round(auc(labels, p), 5),
        "log_loss": round(log_loss(labels, p), 5),
        "calibration_error": round(expected_calibration_error(labels, p), 5),
    }
