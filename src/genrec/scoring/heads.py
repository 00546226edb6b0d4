"""The two heads of scoring as they were fitted: click logits of a pool, P(like), and what the probabilities mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np

from genrec.data.histories import HistoryBatch
from genrec.data.interactions import FloatArray, IntArray
from genrec.data.ndcg import gains
from genrec.scoring.calibration import Calibration, PlaceCalibration, PoolCalibration, calibration_of
from genrec.scoring.features import CandidateFeatures, Floats, column_names
from genrec.scoring.linear import LinearWeights
from genrec.scoring.network import Network
from genrec.scoring.query import QueryWeights
from genrec.scoring.rated import RatedPairs

Click = Literal["linear", "network"]


@dataclass(frozen=True, eq=False)
class Heads:
    """`click` says what gives the click logits: `network`, or the weighted sum `linear`; a query's bonus comes on top.

    `parts` are the retrievers whose scores are among the columns, in their order. `like` calibrates the like head; None
    where nothing is rated.
    """

    click: Click = "linear"
    linear: LinearWeights = field(default_factory=LinearWeights)
    network: Network | None = None
    parts: tuple[str, ...] = ()
    query: QueryWeights = field(default_factory=QueryWeights)
    calibration: PoolCalibration | PlaceCalibration = field(default_factory=PoolCalibration)
    like: Calibration | None = None

    def click_logits(self, features: CandidateFeatures, vectors: Floats) -> FloatArray:
        """Click logits [n] before calibration, without a query's bonus; `vectors` [I + 1, p] are those of the items."""
        return self._both(features, vectors, like=False)[0]

    def scored(self, features: CandidateFeatures, vectors: Floats) -> tuple[FloatArray, FloatArray | None]:
        """Calibrated click logits [n] and P(like) [n] of a pool."""
        logits, likes = self._both(features, vectors, like=self.like is not None)
        p_like = None if likes is None or self.like is None else self.like(likes)
        return self.calibration.scaled(logits) + self.query.bonus(features), p_like

    def like_logits(self, rows: RatedPairs, vectors: Floats) -> FloatArray:
        """Like logits [R] of rated rows before calibration; ValueError where nothing is rated."""
        if self.network is None:
            raise ValueError("nothing is rated: there is no like head")
        logits = np.zeros(len(rows))
        order = np.argsort(rows.query, kind="stable")
        for mine in np.split(order, np.flatnonzero(np.diff(rows.query[order])) + 1) if len(rows) else ():
            one = rows.query[mine[0]]
            joint = self._joint(
                self.network, vectors, rows.item[mine], rows.histories.take(np.array([one])), rows.signal[[one]]
            )
            logits[mine] = self.network.like_logits(joint, rows.pairs[mine])
        return logits

    def to_json(self) -> dict[str, Any]:
        """Plain data for `of_json`, without the weights of the network."""
        return {
            "click": self.click,
            "linear": asdict(self.linear),
            "parts": self.parts,
            "columns": column_names(self.parts),
            "query": asdict(self.query),
            "calibration": asdict(self.calibration),
            "like": None if self.like is None else self.like.to_json(),
        }

    @classmethod
    def of_json(cls, data: Mapping[str, Any], network: Network | None) -> Heads:
        """Reads `to_json`; KeyError, TypeError or ValueError for what this version does not read."""
        parts = tuple(data["parts"])
        if data["columns"] != column_names(parts):
            raise ValueError("other features")
        return cls(
            data["click"],
            LinearWeights(**data["linear"]),
            network,
            parts,
            QueryWeights(**data["query"]),
            calibration_of(data["calibration"]),
            None if data["like"] is None else Calibration.from_json(data["like"]),
        )

    def _both(self, features: CandidateFeatures, vectors: Floats, like: bool) -> tuple[FloatArray, FloatArray | None]:
        network, linear = self.network, self.click == "linear"
        if network is None or (linear and not like):
            return self.linear.logits(features), None
        joint = self._joint(network, vectors, features.item, features.history, features.signal)
        clicks = self.linear.logits(features) if linear else network.click_logits(joint, features.columns)
        return clicks, network.like_logits(joint, features.pairs) if like else None

    @staticmethod
    def _joint(network: Network, vectors: Floats, item: IntArray, h: HistoryBatch, signal: Floats) -> Floats:
        return network.joint(vectors[item], vectors[h.item[0]], signal[0], h.mask[0])


def ndcg_of(scores: FloatArray, target: int, k: int = 10) -> float:
    """NDCG@k of one pool with one target; of equal scores the first stands first."""
    rank = int(np.count_nonzero(scores > scores[target]) + np.count_nonzero(scores[:target] == scores[target]))
    return float(gains(np.array(rank), k))
