"""Several retrievers as one: weighted scores, filters with reasons, and always as many items as there are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from genrec.artifacts.tensors import read_tensors, write_tensors
from genrec.data.histories import HistoryArrays
from genrec.data.ratings import STARS, RatingScale
from genrec.domain import Candidate, Candidates, DroppedItem, History, Item
from genrec.errors import WorkspaceError
from genrec.retrieval.base import RETRIEVERS, ItemFilters, Retriever, Scores
from genrec.retrieval.retrievers.covisit import CovisitRetriever
from genrec.retrieval.scoring import Positions, scaled, score_batch, top_k
from genrec.retrieval.text_search import TextIndex

QUERY = "query"
"""Among the sources and parts of a candidate: how near its text is to the query in words."""
QUERY_WORDS = "query words"
"""Among the parts of a candidate: how many words of the query its text has."""
_TIE_BREAK = 1e-6
_TEXTS = "request texts"
ItemLookup = Callable[[Sequence[str]], list[Item]]
"""Gives items in the order asked for: the method `items` of a store."""


class HybridRetriever:
    """score(i) = sum of weight * score of each part, scaled to 0..1 within the query, plus a millionth of popularity.

    The popularity (scaled to 0..1 too) breaks ties and orders what no part knows, so that a list is never short.
    `weights` are non-negative and need not sum to 1. `newest` is the timestamp of the newest event that was fitted on.
    `record` says how weights and parts were chosen. `scale` is that of the ratings in the log. `texts` lets queries in
    words reach retrieval.
    """

    def __init__(
        self,
        parts: Mapping[str, Retriever],
        weights: Mapping[str, float],
        item_ids: Sequence[str],
        popularity: Scores,
        newest: float = 0.0,
        record: Mapping[str, Any] | None = None,
        texts: TextIndex | None = None,
        scale: RatingScale = STARS,
    ) -> None:
        self.parts = dict(parts)
        self.weights = {name: float(weights.get(name, 0.0)) for name in self.parts}
        self.item_ids = tuple(item_ids)
        self.index = {item_id: position for position, item_id in enumerate(self.item_ids)}
        self.popularity = popularity
        self.newest, self.texts, self.scale = newest, texts, scale
        self.record = dict(record or {})
        self._tie_break = _TIE_BREAK * scaled(popularity[None, :])[0]

    @property
    def name(self) -> str:
        """The parts that have a weight, for provenance."""
        return "+".join(name for name, weight in self.weights.items() if weight) or "popularity"

    def scores(self, query: HistoryArrays) -> Scores:
        """Blended scores [I]."""
        scores: Scores = self.batch_scores([query])[0]
        return scores

    def batch_scores(self, queries: Sequence[HistoryArrays]) -> Scores:
        """Blended scores [q, I] of several queries."""
        raw = {name: score_batch(part, queries) for name, part in self.parts.items() if self.weights[name]}
        return self._mix(raw, len(queries))

    def covisit(self) -> CovisitRetriever | None:
        """What stood near what in the log, where one of the parts knows it."""
        return next((part for part in self.parts.values() if isinstance(part, CovisitRetriever)), None)

    def arrays(self, history: History, now: float) -> HistoryArrays:
        """The history as arrays: made once for a request, they serve retrieval and scoring."""
        return HistoryArrays.of(history, self.index, now, self.scale)

    def score_items(
        self,
        history: History,
        items: Sequence[Item],
        *,
        now: float,
        query: str | None = None,
        arrays: HistoryArrays | None = None,
    ) -> list[Candidate]:
        """The caller's own items as candidates, in their order; scores are 0 where the index does not know an item."""
        raw, mixed, asked = self._scored(arrays or self.arrays(history, now), query)
        known = {**raw, **asked}

        def at(scores: Scores, item: Item) -> float:
            position = self.index.get(item.id)
            return 0.0 if position is None else float(scores[position])

        return [
            Candidate(
                item,
                score := at(mixed, item),
                {"caller": score},
                {name: at(part, item) for name, part in known.items()},
            )
            for item in items
        ]

    def candidates(
        self,
        history: History,
        k: int,
        *,
        now: float,
        items: ItemLookup,
        filters: ItemFilters,
        query: str | None = None,
        arrays: HistoryArrays | None = None,
    ) -> Candidates:
        """The k best items for a history, best first; fewer only if the catalogue has no more that pass.

        Behind them, where there is a `query` in words and `texts` to compare it with, stand the k / 2 others whose
        texts are nearest to it, with 'query' as their only source: what is asked for must not be missing because it
        does not go with the history. All items then have their nearness as the part 'query', and what words they
        share with it as the part 'query words'.

        `arrays` are those of the history, where they were made before.

        `filters` say what must not be proposed. `dropped` has the items that would have been in the list but for a
        filter, best first, with the reason. `sources` has the raw score of each part that has the item among its own
        best k, `parts` that of all.
        """
        raw, scores, said = self._scored(arrays or self.arrays(history, now), query)
        reasons = {self.index[item_id]: why for item_id, why in filters.refused.items() if item_id in self.index}
        dropped: dict[int, str] = {}
        chosen = self._passing(scores, k, reasons, items, filters, dropped)
        own = {name: set(_positive(part, k).tolist()) for name, part in raw.items()}
        asked: dict[int, Item] = {}
        if said:
            raw = {**raw, **said}
            own[QUERY] = set(_positive(said[QUERY], k // 2).tolist())
            others = said[QUERY].copy()
            others[list(chosen)] = -np.inf
            asked = self._passing(others, k // 2, reasons, items, filters, dropped)

        def candidate(position: int, item: Item) -> Candidate:
            parts = {name: float(part[position]) for name, part in raw.items()}
            sources = [QUERY] if position in asked else [name for name in own if position in own[name]]
            return Candidate(item, float(scores[position]), {name: parts[name] for name in sources}, parts)

        return Candidates(
            tuple(candidate(position, item) for position, item in {**chosen, **asked}.items()),
            tuple(DroppedItem(self.item_ids[position], reason) for position, reason in dropped.items()),
        )

    def save(self, folder: Path) -> None:
        """Writes the parts into folders of their own, weights and record as JSON, item ids as Arrow."""
        for name, part in self.parts.items():
            part.save(folder / name)
        if self.texts is not None:
            self.texts.save(folder / _TEXTS)
        has_texts = self.texts is not None
        settings = {"weights": self.weights, "newest": self.newest, "texts": has_texts, "record": self.record}
        settings["scale"] = asdict(self.scale)
        write_tensors(folder, {"popularity": self.popularity}, settings)
        table = pa.table({"item_id": pa.array(self.item_ids, pa.string())})
        with pa.OSFile(str(folder / "items.arrow"), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
            writer.write_table(table)

    @classmethod
    def load(cls, folder: Path) -> HybridRetriever:
        """Reads what `save` wrote; WorkspaceError if something is missing or broken."""
        arrays, settings = read_tensors(folder)
        try:
            with pa.memory_map(str(folder / "items.arrow")) as file:
                item_ids = pa.ipc.open_file(file).read_all()["item_id"].to_pylist()
        except (OSError, pa.ArrowInvalid, KeyError) as error:
            raise WorkspaceError(f"{folder / 'items.arrow'} cannot be read", "build it again: genrec fit") from error
        parts = {name: RETRIEVERS.find(name).load(folder / name) for name in settings["weights"]}
        return cls(
            parts,
            settings["weights"],
            item_ids,
            arrays["popularity"],
            settings["newest"],
            settings["record"],
            TextIndex.load(folder / _TEXTS) if settings.get("texts") else None,
            RatingScale(**settings["scale"]) if "scale" in settings else STARS,
        )

    def _scored(self, arrays: HistoryArrays, query: str | None) -> tuple[dict[str, Scores], Scores, dict[str, Scores]]:
        """Scores of each part, of the blend, and by name of the query if it says anything, all [I]."""
        raw = {name: score_batch(part, [arrays]) for name, part in self.parts.items()}
        asked = {}
        if query and self.texts is not None and (near := self.texts.nearness(query)) is not None:
            asked = {QUERY: near, QUERY_WORDS: self.texts.shared(query)}
        return {name: part[0] for name, part in raw.items()}, self._mix(raw, 1)[0], asked

    def _mix(self, raw: Mapping[str, Scores], n_queries: int) -> Scores:
        mixed = np.repeat(self._tie_break[None, :], n_queries, axis=0)
        for name, scores in raw.items():
            if self.weights[name]:
                mixed += np.float32(self.weights[name]) * scaled(scores)
        return mixed

    def _passing(
        self,
        scores: Scores,
        k: int,
        reasons: Mapping[int, str],
        items: ItemLookup,
        filters: ItemFilters,
        dropped: dict[int, str],
    ) -> dict[int, Item]:
        """The k best that pass all filters, by position; `dropped` grows by those before the last of them."""
        found: dict[int, Item] = {}
        for position, item in self._best(scores, k, reasons, items):
            reason = reasons.get(position) or (item and filters.reason(item))
            if reason:
                dropped.setdefault(position, reason)
            elif item:
                found[position] = item
                if len(found) == k:
                    break
        return found

    def _best(
        self, scores: Scores, k: int, reasons: Mapping[int, str], items: ItemLookup
    ) -> Iterator[tuple[int, Item | None]]:
        """All positions, best first, in growing pieces; with the item where it has no reason to be dropped.

        A piece ends where it has as many items as are wanted, so that few are looked up in vain.
        """
        done, wanted = 0, k
        while k and done < len(scores):
            positions = top_k(scores, done + wanted + len(reasons))[done:].tolist()
            if not positions:  # what scores minus infinity is not there
                return
            free = [position for position in positions if position not in reasons][:wanted]
            if len(free) == wanted:
                positions = positions[: positions.index(free[-1]) + 1]
            found = dict(zip(free, items([self.item_ids[position] for position in free]), strict=True))
            yield from ((position, found.get(position)) for position in positions)
            done, wanted = done + len(positions), 2 * wanted


def _positive(scores: Scores, k: int) -> Positions:
    best = top_k(scores, k)
    return best[scores[best] > 0]
