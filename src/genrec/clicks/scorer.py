"""P(click | user's history, item): fitted on a log, calibrated, saved, and asked one slate or many rows at a time."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from genrec.clicks.calibration import Calibration
from genrec.clicks.features import FEATURES
from genrec.clicks.histories import single
from genrec.clicks.labels import Rows, labelled
from genrec.clicks.network import Network
from genrec.clicks.pairs import Pairs, chunks, describe, pairs_of
from genrec.clicks.statistics import ItemSide, Statistics, Vectors
from genrec.clicks.training import learn
from genrec.data.interactions import FloatArray, IntArray, Interactions
from genrec.data.store import Exposure
from genrec.domain import History, Item
from genrec.errors import WorkspaceError
from genrec.retrieval.retrievers.covisit import CovisitRetriever
from genrec.settings import Settings
from genrec.text.encoders import Progress

MAX_ROWS = 200_000
"""The newest labelled rows that are learned from."""


@dataclass(frozen=True, eq=False)
class Described:
    """P(click) [n] of a slate, and what it was made of."""

    p_click: FloatArray
    pairs: Pairs


class ClickScorer:
    """A fitted scorer; `record` says how it was fitted.

    `net` is None where there was too little to learn from: P(click) is then the smoothed rate of the item.
    """

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
        liked, length = settings.clicks.liked, settings.retrieval.history
        rows = labelled(interactions, liked, exposures or (), seed)
        rows = rows.take(np.arange(max(0, len(rows) - MAX_ROWS), len(rows)))
        side = ItemSide.of(items, vectors)
        learned = learn(
            interactions,
            items,
            side,
            rows,
            liked=liked,
            history=length,
            validation_fraction=validation_fraction,
            seed=seed,
            progress=progress,
        )
        statistics = Statistics.fit(interactions, items, rows, liked, until=float("inf"))
        record = {
            "labels": rows.kind,
            "labels_are": rows.says,
            "rows": len(rows),
            "positives": int(rows.label.sum()),
            "seed": seed,
            **learned.record,
        }
        ids = interactions.item_ids.tolist()
        return cls(ids, statistics, side, learned.network, learned.calibration, length, record)

    def refreshed(
        self,
        interactions: Interactions,
        items: Sequence[Item],
        vectors: Vectors,
        *,
        exposures: Iterable[tuple[Exposure, Collection[str]]] | None = None,
    ) -> ClickScorer:
        """The same network and calibration with the statistics of another log: cheap, nothing is trained.

        Labels stay of the kind that the network learned; otherwise P(click) would mean two things.
        """
        shown = (exposures or ()) if self.record["labels"] == "exposures" else ()
        rows = labelled(interactions, self.statistics.liked, shown, self.record["seed"])
        statistics = Statistics.fit(interactions, items, rows, self.statistics.liked, until=float("inf"))
        side = ItemSide.of(items, vectors)
        ids = interactions.item_ids.tolist()
        return ClickScorer(ids, statistics, side, self.net, self.calibration, self.history, self.record)

    def score(self, history: History, items: Sequence[Item], *, now: float) -> FloatArray:
        """P(click) [n] of n items for one history. Ids that the catalogue did not have count as a mean item."""
        return self.described(history, items, now=now).p_click

    def described(self, history: History, items: Sequence[Item], *, now: float) -> Described:
        """P(click) of n items for one history with the features of the pairs, for who reads more than one number."""
        entries = history.entries[-self.history :]
        value = np.array([np.nan if entry.value is None else entry.value for entry in entries], dtype=np.float64)
        h = single(
            self._positions([entry.item.id for entry in entries]),
            np.array([entry.timestamp for entry in entries], dtype=np.float64),
            value,
            now,
            self.history,
        )
        query, asked = np.zeros(len(items), dtype=np.int64), self._positions([item.id for item in items])
        pairs = pairs_of(self.statistics, self.side, h, query, asked)
        return Described(self._probabilities(pairs) if items else np.zeros(0), pairs)

    def interactions_scores(
        self, interactions: Interactions, user: IntArray, item: IntArray, now: FloatArray
    ) -> FloatArray:
        """P(click) [R] of rows: positions `user` (-1: nobody) and `item` [R] in `interactions`, at time `now` [R].

        Each row sees the events of its user strictly before `now`; statistics of items stay as they were fitted.
        """
        rows = Rows("ratings", user, item, now, np.zeros(len(user)))
        parts = [
            self._probabilities(describe(self.statistics, self.side, interactions, rows.take(chunk), self.history))
            for chunk in chunks(len(rows), 65_536)
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
            covisit = CovisitRetriever.load(folder / "covisit")
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
