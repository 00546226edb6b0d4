"""What retrieval proposes for each position, with the scores of the second stage, kept as a few arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from genrec.data.histories import HistoryArrays
from genrec.data.interactions import FloatArray, IntArray
from genrec.domain import Candidates, History, Item
from genrec.filtering.base import FilterContext, Filters
from genrec.fitting.holdout import HeldOutPositions, Index
from genrec.fitting.simulated_queries import SimulatedQueries
from genrec.retrieval.hybrid import HybridRetriever
from genrec.retrieval.scoring import ranks_of
from genrec.text.encoders import Progress

Teacher = Callable[[History, Candidates, float], FloatArray]
"""Scores [n] of the candidates of a history at a time, higher is better: `Fitted.base_scores` of the second stage."""

_BATCH_CELLS = 4_000_000


@dataclass(frozen=True, eq=False)
class TrainingPools:
    """P pools of k items: `row` [P] in the whole log, `place` [P] is the column of the item the user then chose.

    `item` [P, k] are positions in the catalogue in retrieval order, -1 where the pool has fewer; `score` and `base`
    [P, k] are the scores of retrieval and of the second stage, the latter in double precision: by it the slate is cut,
    here as in serving. `found` of `asked` targets were proposed by retrieval.
    """

    row: Index
    place: IntArray
    item: IntArray
    score: npt.NDArray[np.float32]
    base: FloatArray
    found: int
    asked: int

    def __len__(self) -> int:
        return len(self.row)

    def served(self, index: int, n: int) -> Index:
        """Columns of the n best items of a pool by the second stage, in retrieval order: the slate as served."""
        size = int(np.count_nonzero(self.item[index] >= 0))
        return _best(self.base[index, :size], n)

    @classmethod
    def collect(
        cls,
        positions: HeldOutPositions,
        rows: Index,
        items: Sequence[Item],
        blend: HybridRetriever,
        teacher: Teacher | None = None,
        *,
        size: int = 200,
        add_missed: bool = False,
        slate: int | None = None,
        most: int | None = None,
        requests: SimulatedQueries | None = None,
        progress: Progress | None = None,
    ) -> Self:
        """Asks retrieval and second stage (the retriever's order without one) as serving does.

        Targets that retrieval does not propose are left out, or with `add_missed` take the last place of their pool.
        `requests` are what people say where they chose, and bring what is near to it, as when served.
        `slate`: only pools whose target is among so many best of the second stage. `most`: stops at so many pools.
        """
        by_id = {item.id: item for item in items}
        width = size if requests is None else size + size // 2  # what `HybridRetriever.candidates` gives at most
        whole, kept = positions.whole, _Kept(width)
        found = asked = 0
        for chunk in _chunks(rows, whole.n_items):
            proposed = _proposed(positions, chunk, blend, size)
            for row, is_proposed in zip(chunk.tolist(), proposed, strict=True):
                asked += 1
                target = items[int(whole.item[row])]
                query = None if requests is None else requests.at(row, target)
                if not is_proposed and not add_missed and query is None:
                    continue
                history, now = positions.request(row, items)
                pool = blend.candidates(
                    history,
                    size,
                    now=now,
                    items=lambda ids: [by_id[item_id] for item_id in ids],
                    filters=Filters.of(FilterContext(history, now)),
                    query=query,
                )
                place = _place(pool, target)
                found += int(place is not None)
                if place is None:
                    if not add_missed:
                        continue
                    (missed,) = blend.score_items(history, [target], now=now, query=query)
                    place = min(len(pool.items), width - 1)
                    pool = Candidates((*pool.items[:place], missed), pool.dropped)
                scores = np.array([candidate.score for candidate in pool.items])
                base = scores if teacher is None else teacher(history, pool, now)
                if slate is None or place in _best(base, slate):
                    kept.add(row, place, [blend.index[candidate.item.id] for candidate in pool.items], scores, base)
                if most is not None and len(kept.row) == most:
                    break
            if progress:
                progress("slates to learn from", asked, len(rows))
            if most is not None and len(kept.row) == most:
                break
        return cls(
            np.array(kept.row, dtype=np.int64),
            np.array(kept.place, dtype=np.int32),
            np.array(kept.item, dtype=np.int32).reshape(-1, width),
            np.array(kept.score, dtype=np.float32).reshape(-1, width),
            np.array(kept.base, dtype=np.float64).reshape(-1, width),
            found,
            asked,
        )

    def save(self, file: Path) -> None:
        """Writes safetensors; the file is there whole or not at all."""
        from safetensors.numpy import save_file

        arrays = {name: np.ascontiguousarray(getattr(self, name)) for name in ("row", "place", "item", "score", "base")}
        file.parent.mkdir(parents=True, exist_ok=True)
        staging = file.with_name(f".{file.name}")
        save_file({**arrays, "counts": np.array([self.found, self.asked], dtype=np.int64)}, staging)
        staging.replace(file)

    @classmethod
    def load(cls, file: Path) -> Self:
        """Reads what `save` wrote; OSError or ValueError if there is no such file, or it is broken."""
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            arrays = load_file(file)
            found, asked = arrays.pop("counts").tolist()
            return cls(**arrays, found=found, asked=asked)
        except (SafetensorError, KeyError, TypeError) as error:
            raise ValueError(f"{file} is no file of pools") from error


class _Kept:
    """Rows of the arrays while they are collected, padded to the size of a pool."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.row: list[int] = []
        self.place: list[int] = []
        self.item: list[npt.NDArray[np.int32]] = []
        self.score: list[npt.NDArray[np.float32]] = []
        self.base: list[FloatArray] = []

    def add(self, row: int, place: int, item: Sequence[int], score: FloatArray, base: FloatArray) -> None:
        padding = (0, self.size - len(item))
        self.row.append(row)
        self.place.append(place)
        self.item.append(np.pad(np.array(item, dtype=np.int32), padding, constant_values=-1))
        self.score.append(np.pad(score.astype(np.float32), padding))
        self.base.append(np.pad(base, padding))


def _proposed(positions: HeldOutPositions, rows: Index, blend: HybridRetriever, size: int) -> list[bool]:
    """Whether the target of each row is among the `size` best of the blend, asked for many rows at once."""
    whole = positions.whole
    queries = []
    for row in rows.tolist():
        span = slice(whole.rows_of(int(whole.user[row])).start, row)
        queries.append(HistoryArrays.of_rows(whole, span, float(whole.timestamp[row])))
    scores = blend.batch_scores(queries)
    return [
        bool(ranks_of(of_row, query.item, whole.item[row : row + 1])[0] < size)
        for row, query, of_row in zip(rows.tolist(), queries, scores, strict=True)
    ]


def _place(pool: Candidates, target: Item) -> int | None:
    ids = [candidate.item.id for candidate in pool.items]
    return ids.index(target.id) if target.id in ids else None


def _chunks(rows: Index, n_items: int) -> list[Index]:
    size = max(1, _BATCH_CELLS // max(1, n_items))
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def _best(base: FloatArray, size: int) -> npt.NDArray[np.intp]:
    """Positions of the `size` best of a pool by second-stage scores [n], ascending; of equal ones the first."""
    return np.sort(np.argsort(-base, kind="stable")[:size])
