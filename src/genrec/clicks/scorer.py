"""P(click | user's history, item): fitted on a log, calibrated, saved, and asked one slate or many rows at a time."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from genrec.clicks.calibration import (
    Calibration,
    auc,
    expected_calibration_error,
    fit_calibration,
    fit_platt,
    log_loss,
)
from genrec.clicks.features import FEATURES, ItemSide, Statistics, Vectors, pair_features
from genrec.clicks.histories import Histories, Index, as_of, single
from genrec.clicks.labels import Rows, event_labels, labelled
from genrec.clicks.network import Network, Pairs
from genrec.data.interactions import FloatArray, IntArray, Interactions
from genrec.data.store import Exposure
from genrec.domain import History, Item
from genrec.encoder import Progress
from genrec.errors import WorkspaceError
from genrec.retrieval.covisit import Fitted as Covisit
from genrec.settings import Settings

MAX_ROWS = 200_000
"""The newest labelled rows that are learned from."""
BLOCKS = 8
"""Training rows are cut into this many blocks by time; each is described by statistics of the time before it."""
FEWEST_ROWS = 200
"""With fewer labelled rows of both kinds the probability is the smoothed rate of the item, calibrated."""

_CHUNK = 4096


class ClickScorer:
    """A fitted scorer. `net` is None where there was too little to learn from. `record` says how it was fitted."""

    def __init__(
        self,
        item_ids: Sequence[str],
        statistics: Statistics,
        side: ItemSide,
        net: Network | None,
        calibration: Calibration,
        history: int,
        record: dict[str, Any],
    ) -> None:
        self.item_ids = tuple(item_ids)
        self.statistics, self.side, self.net, self.calibration = statistics, side, net, calibration
        self.history, self.record = history, record
        self._position = {item_id: position for position, item_id in enumerate(self.item_ids)}

    @classmethod
    def fit(
        cls,
        interactions: Interactions,
        items: Sequence[Item],
        vectors: Vectors,
        *,
        settings: Settings,
        exposures: Iterable[tuple[Exposure, Collection[str]]] | None = None,
        validation_fraction: float = 0.1,
        progress: Progress | None = None,
        seed: int = 0,
    ) -> Self:
        """Fits on a log, the catalogue, and the encoder's vectors [I, d] in the order of `interactions.item_ids`.

        `exposures` are shown lists with the ids that were clicked in them (see `labels.labelled` for when they count).
        The latest `validation_fraction` of the labelled rows decides when to stop and how to calibrate; the item
        statistics are then fitted on the whole log, which is what they are when the scorer is asked.
        """
        from genrec.clicks.model import Training, fit_net

        liked, length = settings.clicks.liked, settings.retrieval.history
        rows = labelled(interactions, liked, exposures or (), seed)
        rows = rows.take(np.arange(max(0, len(rows) - MAX_ROWS), len(rows)))
        side = ItemSide.of(items, vectors)
        record: dict[str, Any] = {"labels": rows.kind, "labels_are": rows.says, "rows": len(rows), "seed": seed}
        record["positives"] = int(rows.label.sum())
        blocks = _blocks(rows, validation_fraction)
        net, calibration = None, _prior_calibration(rows)
        if len(blocks) >= 3 and _both(rows.take(blocks[-1])):
            described = []
            for number, block in enumerate(blocks[1:], start=1):
                if progress:
                    progress("click features", number - 1, len(blocks))
                statistics = Statistics.fit(interactions, items, rows, liked, until=float(rows.now[block[0]]))
                described.append(_describe(statistics, side, interactions, rows.take(block), length))
            train, held = Pairs.joined(described[:-1]), described[-1]
            train_labels = rows.label[np.concatenate(blocks[1:-1])]
            held_labels = rows.label[blocks[-1]]
            net, fitted = fit_net(
                side.vectors, train, train_labels, held, held_labels, Training(seed=seed), progress=progress
            )
            logits = net.logits(side.vectors, held)
            calibration = fit_calibration(logits, held_labels, seed=seed)
            record |= {"network": fitted, "validation": _measures(logits, held_labels, calibration, seed)}
        record["calibration"] = calibration.kind
        statistics = Statistics.fit(interactions, items, rows, liked, until=float("inf"))
        return cls(interactions.item_ids.tolist(), statistics, side, net, calibration, length, record)

    def refreshed(
        self,
        interactions: Interactions,
        items: Sequence[Item],
        vectors: Vectors,
        *,
        exposures: Iterable[tuple[Exposure, Collection[str]]] | None = None,
    ) -> ClickScorer:
        """The same network and calibration with the statistics of another log: cheap, nothing is trained."""
        rows = labelled(interactions, self.statistics.liked, exposures or (), self.record["seed"])
        statistics = Statistics.fit(interactions, items, rows, self.statistics.liked, until=float("inf"))
        side = ItemSide.of(items, vectors)
        ids = interactions.item_ids.tolist()
        return ClickScorer(ids, statistics, side, self.net, self.calibration, self.history, self.record)

    def score(self, history: History, items: Sequence[Item], *, now: float) -> FloatArray:
        """P(click) [n] of n items for one history. Ids that the catalogue did not have count as a mean item."""
        entries = history.entries[-self.history :]
        value = np.array([np.nan if entry.value is None else entry.value for entry in entries], dtype=np.float64)
        h = single(
            self._positions([entry.item.id for entry in entries]),
            np.array([entry.timestamp for entry in entries], dtype=np.float64),
            value,
            now,
            self.history,
        )
        if not items:
            return np.zeros(0)
        query = np.zeros(len(items), dtype=np.int64)
        return self._probabilities(_pairs(self.statistics, self.side, h, query, self._positions([i.id for i in items])))

    def interactions_scores(
        self, interactions: Interactions, user: IntArray, item: IntArray, now: FloatArray
    ) -> FloatArray:
        """P(click) [R] of rows: positions `user` (-1: nobody) and `item` [R] in `interactions`, at time `now` [R].

        Each row sees the events of its user strictly before `now`; statistics of items stay as they were fitted.
        """
        rows = Rows("ratings", user, item, now, np.zeros(len(user)))
        parts = [
            self._probabilities(_describe(self.statistics, self.side, interactions, rows.take(chunk), self.history))
            for chunk in _chunks(len(rows), 16 * _CHUNK)
        ]
        return np.concatenate(parts) if parts else np.zeros(0)

    def save(self, folder: Path) -> None:
        """Writes safetensors for arrays and weights, and scorer.json."""
        from safetensors.numpy import save_file

        folder.mkdir(parents=True, exist_ok=True)
        s = self.statistics
        arrays = {name: getattr(s, name) for name in _ARRAYS}
        arrays |= {"vectors": self.side.vectors, "values": self.side.values}
        save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, folder / "arrays.safetensors")
        if self.net is not None:
            save_file(self.net.weights, folder / "net.safetensors")
        s.covisit.save(folder / "covisit")
        data = {
            "features": FEATURES,
            "history": self.history,
            "statistics": {name: getattr(s, name) for name in _NUMBERS},
            "network": self.net is not None,
            "calibration": self.calibration.to_json(),
            "item_ids": self.item_ids,
            "record": self.record,
        }
        (folder / "scorer.json").write_text(json.dumps(data, ensure_ascii=False), "utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Reads what `save` wrote; WorkspaceError if it cannot be read or has other features than this version."""
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            data = json.loads((folder / "scorer.json").read_text("utf-8"))
            arrays = load_file(folder / "arrays.safetensors")
            if tuple(data["features"]) != FEATURES:
                raise ValueError("other features")
            covisit = Covisit.load(folder / "covisit")
            statistics = Statistics(**data["statistics"], **{name: arrays[name] for name in _ARRAYS}, covisit=covisit)
            net = Network(load_file(folder / "net.safetensors")) if data["network"] else None
            side = ItemSide(arrays["vectors"], arrays["values"])
            calibration = Calibration.from_json(data["calibration"])
            return cls(data["item_ids"], statistics, side, net, calibration, data["history"], data["record"])
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            raise WorkspaceError(
                f"the click scorer in {folder} cannot be read: {type(error).__name__}", "fit it again: genrec fit"
            ) from error

    def _positions(self, ids: Sequence[str]) -> IntArray:
        unknown = len(self.item_ids)
        return np.array([self._position.get(item_id, unknown) for item_id in ids], dtype=np.int32)

    def _probabilities(self, pairs: Pairs) -> FloatArray:
        if self.net is None:
            return self.calibration(pairs.features[:, FEATURES.index("item_rate")].astype(np.float64))
        return self.calibration(self.net.logits(self.side.vectors, pairs))


_NUMBERS = ("liked", "value_mean", "value_scale", "prior", "newest", "span")
_ARRAYS = ("rate", "deviation", "count", "recent", "first", "factors")


def _pairs(statistics: Statistics, side: ItemSide, h: Histories, query: Index, item: IntArray) -> Pairs:
    label = event_labels(h.value, statistics.liked) * h.mask
    residual = statistics.residual(h.item, h.value) * h.mask
    signal = np.stack([residual, label], axis=-1).astype(np.float32)
    return Pairs(h, signal, query, item, pair_features(statistics, side, h, query, item))


def _describe(statistics: Statistics, side: ItemSide, interactions: Interactions, rows: Rows, length: int) -> Pairs:
    """Pairs of labelled rows; rows of one user and moment share their history."""
    keys = np.stack([rows.user.astype(np.float64), rows.now], axis=1)
    _, first, query = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    query = query.reshape(-1)
    h = as_of(interactions, rows.user[first], rows.now[first], length)
    order = np.argsort(query, kind="stable")
    table = np.zeros((len(rows), len(FEATURES)), dtype=np.float32)
    signal = []
    starts = np.searchsorted(query[order], np.arange(0, len(h) + _CHUNK, _CHUNK))
    for number, queries in enumerate(_chunks(len(h), _CHUNK)):
        mine = order[starts[number] : starts[number + 1]]
        part = _pairs(statistics, side, h.take(queries), query[mine] - queries[0], rows.item[mine])
        table[mine] = part.features
        signal.append(part.signal)
    return Pairs(h, np.concatenate(signal), query, rows.item, table)


def _blocks(rows: Rows, validation_fraction: float) -> list[Index]:
    """Rows of each block, in order of time; the last is the validation. Rows of one moment stay together."""
    if len(rows) < FEWEST_ROWS or not _both(rows):
        return []
    cut = 1 - validation_fraction
    edges = [rows.now[int(len(rows) * share)] for share in (*np.linspace(0, cut, BLOCKS + 1)[1:-1], cut)]
    of_row = np.searchsorted(np.unique(edges), rows.now, "right")
    return [np.flatnonzero(of_row == block) for block in np.unique(of_row)]


def _chunks(n: int, size: int) -> list[npt.NDArray[np.int64]]:
    return [np.arange(start, min(start + size, n)) for start in range(0, n, size)]


def _both(rows: Rows) -> bool:
    return bool(len(rows)) and bool(rows.label.min() < rows.label.max())


def _prior_calibration(rows: Rows) -> Calibration:
    """The identity: the smoothed item rate is a probability already."""
    return Calibration("platt", 1.0, 0.0)


def _measures(logits: FloatArray, labels: FloatArray, calibration: Calibration, seed: int) -> dict[str, Any]:
    """Measures on validation; probabilities of each half are calibrated on the other half."""
    half = np.random.default_rng(seed).permutation(len(labels)) % 2
    p = np.zeros(len(labels))
    for part in (0, 1):
        rest = half != part
        fit = fit_platt if calibration.kind == "platt" else fit_calibration
        p[half == part] = fit(logits[rest], labels[rest])(logits[half == part])
    return {
        "rows": len(labels),
        "auc": round(auc(labels, p), 5),
        "log_loss": round(log_loss(labels, p), 5),
        "calibration_error": round(expected_calibration_error(labels, p), 5),
    }
