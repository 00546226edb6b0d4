"""Scoring of a pool: P(click) and P(like) of every candidate, fitted on a log, calibrated, saved and loaded."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from genrec.data.histories import HistoryArrays, HistoryBatch
from genrec.data.interactions import FloatArray, IntArray, Interactions
from genrec.data.item_statistics import ItemStatistics
from genrec.data.labels import Rows, rated_rows, shown_rows
from genrec.data.store import Exposure
from genrec.domain import Candidates, Item, LlmRankerKey
from genrec.errors import WorkspaceError
from genrec.retrieval.hybrid import QUERY, QUERY_WORDS
from genrec.scoring.features import CandidateFeatures, pair_features, pool_columns, signals
from genrec.scoring.fitting import fit_heads
from genrec.scoring.heads import Heads
from genrec.scoring.item_texts import ItemTexts
from genrec.scoring.llm_evidence import LlmWeights, ScoredSlate, fit_llm_weights
from genrec.scoring.network import Network
from genrec.scoring.pools import TrainingPools
from genrec.scoring.rated import RatedPairs
from genrec.settings import Settings
from genrec.text.encoders import Progress, Vectors

Shown = Iterable[tuple[Exposure, Collection[str]]]
"""Shown lists with the ids that were clicked in them."""


@dataclass(frozen=True, eq=False)
class Scores:
    """Scores of n candidates of one request; the order of an answer is that of `p_click`.

    `p_click` [n] is the probability that the item is the one the user takes next (or clicks when it is shown at the
    first place; see `Scorer.says`), `p_like` [n] that it is liked if it is taken, None where nothing is rated. `logits`
    [n] give `p_click`: items are as far apart as log-odds. `llm` [n] is what the language model said, None where it was
    not read. `events` is the length of the history, `asked` whether there is a query in words.
    """

    p_click: FloatArray
    p_like: FloatArray | None
    logits: FloatArray
    events: int = 0
    asked: bool = False
    llm: FloatArray | None = None

    def __len__(self) -> int:
        return len(self.p_click)

    def take(self, kept: Any) -> Scores:
        """Scores of some of the candidates, with the probabilities that they have in the pool."""
        p_like, llm = (None if values is None else values[kept] for values in (self.p_like, self.llm))
        return replace(self, p_click=self.p_click[kept], p_like=p_like, logits=self.logits[kept], llm=llm)


@dataclass(frozen=True, eq=False)
class Scorer:
    """A fitted scorer. `statistics` and `texts` describe items, `heads` score them, `record` says how it was fitted.

    `llm` are the weights of the language model that is in use (see `for_llm_ranker`), `llm_weights` those of every one
    that was weighed on validation, the default one first. `history` is how many of the newest events are looked at.
    """

    item_ids: tuple[str, ...]
    statistics: ItemStatistics
    texts: ItemTexts
    history: int
    heads: Heads = field(default_factory=Heads)
    llm: LlmWeights = field(default_factory=LlmWeights)
    llm_weights: Mapping[LlmRankerKey, LlmWeights] = field(default_factory=dict)
    record: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_position", {item_id: place for place, item_id in enumerate(self.item_ids)})

    @classmethod
    def of_log(
        cls,
        interactions: Interactions,
        items: Sequence[Item],
        vectors: Vectors,
        *,
        settings: Settings,
        exposures: Shown = (),
    ) -> Self:
        """Describes items by a log, the catalogue, and the encoder's vectors [I, d] in the order of `item_ids`.

        Its heads know nothing yet: the order is the retriever's. See `fit`.
        """
        liked = settings.scoring.liked
        statistics = ItemStatistics.fit(interactions, rate_rows(interactions, liked, exposures), liked)
        texts = ItemTexts.of(items, vectors)
        return cls(tuple(interactions.item_ids.tolist()), statistics, texts, settings.retrieval.history)

    def fit(
        self,
        interactions: Interactions,
        pools: TrainingPools,
        *,
        exposures: Shown = (),
        seed: int = 0,
        progress: Progress | None = None,
    ) -> Self:
        """Fits both heads: that of clicks on pools that retrieval would have shown, that of likes on rated rows.

        `interactions` is the log that describes the items, `exposures` shown lists with what was clicked in them.
        """
        liked = self.statistics.liked
        rated = rated_rows(interactions, liked)
        rates = rate_rows(interactions, liked, exposures)
        heads, record = fit_heads(interactions, pools, rated, rates, self.texts, liked, self.history, seed, progress)
        return replace(self, heads=heads, record=record)

    def refreshed(
        self, interactions: Interactions, items: Sequence[Item], vectors: Vectors, *, exposures: Shown = ()
    ) -> Self:
        """The same heads with the statistics of another log: cheap, nothing is trained."""
        liked = self.statistics.liked
        statistics = ItemStatistics.fit(interactions, rate_rows(interactions, liked, exposures), liked)
        ids = tuple(interactions.item_ids.tolist())
        return replace(self, item_ids=ids, statistics=statistics, texts=ItemTexts.of(items, vectors))

    @property
    def says(self) -> Mapping[str, str]:
        """What `p_click` and, where there is one, `p_like` are the probabilities of, and on what they were learned."""
        return dict(self.record.get("says", {}))

    def features(self, candidates: Candidates, history: HistoryArrays, events: int | None = None) -> CandidateFeatures:
        """What the heads read of a pool. Ids that the log did not have count as a mean item.

        `events` is the length of the whole history; that of `history`, which has known items only, if not given.
        """
        n, unknown = len(candidates.items), len(self.item_ids)
        position: dict[str, int] = self.__dict__["_position"]
        item = np.array([position.get(one.item.id, unknown) for one in candidates.items], dtype=np.int32)
        h = HistoryBatch.of([history], self.history)
        pairs = pair_features(self.statistics, self.texts, h, np.zeros(n, dtype=np.int64), item)
        retriever = np.array([one.score for one in candidates.items], dtype=np.float64)

        def part(name: str) -> FloatArray:
            return np.array([one.parts.get(name, 0.0) for one in candidates.items], dtype=np.float64)

        names = self.heads.parts or part_names(candidates)
        query = None
        if any(QUERY in one.parts for one in candidates.items):
            alone = [one.sources.keys() == {QUERY} for one in candidates.items]
            query = np.column_stack([part(QUERY), part(QUERY_WORDS), alone])
        columns = pool_columns(retriever, [part(name) for name in names], pairs)
        known = len(history) if events is None else events
        return CandidateFeatures(retriever, columns, item, h, signals(self.statistics, h), known, query)

    def score_items(self, candidates: Candidates, history: HistoryArrays, events: int | None = None) -> Scores:
        """P(click) and P(like) of a pool, without the language model; see `features`."""
        if not candidates.items:
            return Scores(np.zeros(0), None, np.zeros(0), len(history) if events is None else events)
        features = self.features(candidates, history, events)
        asked = features.query is not None
        logits, p_like = self.heads.scored(features, self.texts.vectors)
        p_click = self.heads.calibration.probabilities(logits, features.events, asked)
        return Scores(p_click, p_like, logits, features.events, asked)

    def p_like(self, interactions: Interactions, user: IntArray, item: IntArray, now: FloatArray) -> FloatArray:
        """P(like) [R] of rows: positions `user` (-1: nobody) and `item` [R] in `interactions`, at time `now` [R].

        Each row sees the events of its user strictly before `now`; statistics of items stay as they were fitted.
        ValueError where nothing is rated.
        """
        if self.heads.like is None:
            raise ValueError("nothing is rated: there is no like head")
        rows = Rows(user, item, now, np.zeros(len(user)))
        pairs = RatedPairs.of(self.statistics, self.texts, interactions, rows, self.history)
        return self.heads.like(self.heads.like_logits(pairs, self.texts.vectors))

    def with_llm(self, scores: Scores, llm: FloatArray) -> Scores:
        """P(click) computed again with what the language model said of each item [n]: see `ranking.llm_scores`."""
        logits = self.llm.combine(scores.logits, llm, scores.events, scores.asked)
        p_click = self.heads.calibration.recombined(scores.p_click, logits)
        return replace(scores, p_click=p_click, logits=logits, llm=llm)

    def should_call_llm(self, scores: Scores, k: int = 10, asked: bool | None = None) -> bool:
        """Whether the language model could change the k best: see `LlmWeights.can_change`."""
        return self.llm.can_change(scores.logits, scores.events, scores.asked if asked is None else asked, k)

    def with_llm_weights(self, key: LlmRankerKey, read: Sequence[ScoredSlate]) -> Self:
        """The same scorer with weights of one more language model, learned on slates of validation users."""
        weights = {**self.llm_weights, key: fit_llm_weights(read)}
        return replace(self, llm=next(iter(weights.values())), llm_weights=weights)

    def for_llm_ranker(self, key: LlmRankerKey) -> Self:
        """The same scorer with the weights of this language model.

        Another template takes those of the same model and ranker: what it says is of the same kind. A model, adapter or
        ranker that was not weighed is not read for the order of P(click), and breaks ties where it is read all the
        same: what others said tells nothing of it.
        """
        return replace(self, llm=self._weights_of(key) or LlmWeights())

    def missing_weights_warning(self, key: LlmRankerKey) -> str | None:
        """What to say of a language model that no validation slate was read by; None where it was weighed."""
        if key in self.llm_weights and self.llm_weights[key].slates:
            return None
        unknown = self._weights_of(key) is None
        effect = 'is not read unless asked for (read = "always")' if unknown else "has the weights of another template"
        # A fit weighs what it is given, and forgets the others.
        alike = [known for known in self.llm_weights if replace(known, adapter=key.adapter) == key]
        named = dict.fromkeys(f"--adapter {one.adapter or 'base'}" for one in (*alike, key))
        return (
            f"{key} was not weighed on validation and {effect}: genrec fit {' '.join(named)}, with the model, "
            "ranker and template that are served, weighs it"
        )

    def _weights_of(self, key: LlmRankerKey) -> LlmWeights | None:
        alike = [known for known in self.llm_weights if replace(known, template=key.template) == key]
        return self.llm_weights[key if key in alike else alike[0]] if alike else None

    def save(self, folder: Path) -> None:
        """Writes safetensors for arrays and weights, and scorer.json."""
        from safetensors.numpy import save_file

        folder.mkdir(parents=True, exist_ok=True)
        arrays = {name: getattr(self.statistics, name) for name in _ARRAYS}
        arrays |= {"vectors": self.texts.vectors, "values": self.texts.values}
        save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, folder / "arrays.safetensors")
        network = self.heads.network
        if network is not None:
            save_file(network.weights, folder / "network.safetensors")
        data = {
            "history": self.history,
            "statistics": {name: getattr(self.statistics, name) for name in _NUMBERS},
            "network": network is not None,
            "heads": self.heads.to_json(),
            "llm_weights": [[asdict(key), asdict(weights)] for key, weights in self.llm_weights.items()],
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
            network = Network(load_file(folder / "network.safetensors")) if data["network"] else None
            weights = {LlmRankerKey(**key): LlmWeights(**of_key) for key, of_key in data["llm_weights"]}
            return cls(
                tuple(data["item_ids"]),
                ItemStatistics(**data["statistics"], **{name: arrays[name] for name in _ARRAYS}),
                ItemTexts(arrays["vectors"], arrays["values"]),
                data["history"],
                Heads.of_json(data["heads"], network),
                next(iter(weights.values()), LlmWeights()),
                weights,
                data["record"],
            )
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            raise WorkspaceError(
                f"the scorer in {folder} cannot be read: {type(error).__name__}", "fit it again: genrec fit"
            ) from error


def rate_rows(interactions: Interactions, liked: float, exposures: Shown) -> Rows:
    """What rates of items are counted in: shown items where enough were clicked, else rated ones."""
    shown = shown_rows(interactions, exposures)
    return shown if len(shown) else rated_rows(interactions, liked)


def part_names(candidates: Candidates) -> tuple[str, ...]:
    """The retrievers that were asked for the candidates."""
    names = dict.fromkeys(name for one in candidates.items for name in one.parts)
    return tuple(name for name in names if name not in (QUERY, QUERY_WORDS))


_NUMBERS = ("liked", "value_mean", "value_scale", "prior", "newest", "span")
_ARRAYS = ("rate", "deviation", "count", "recent", "first", "factors")
