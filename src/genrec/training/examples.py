"""Slates to learn from: positions of a log with candidates from retrieval, hard or easy, as a source by number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from pydantic import Field, model_validator

from genrec.artifacts.renames import current_name
from genrec.data.interactions import FloatArray
from genrec.data.labels import event_labels
from genrec.domain import Candidate, Candidates, Item
from genrec.facts.extract import FactExtractor
from genrec.fitting.holdout import HeldOutPositions
from genrec.fitting.simulated_queries import SimulatedQueries
from genrec.settings import RetrievalSettings, ScoringSettings
from genrec.training.base import Example
from genrec.training.config import Section
from genrec.training.curriculum import Index, draw
from genrec.training.pools import TrainingPools
from genrec.training.propensity import popularity_weights
from genrec.training.targets import distilled, graded, grades, one_hot


class ExampleSettings(Section):
    """Which slates are learned from, and what is said of them."""

    candidates: int | None = Field(default=None, ge=2)
    """Items of a slate; as many as are served (`retrieval.candidates`) if not given."""
    per_user: int | None = Field(default=None, ge=1)
    """How many of a user's last liked events are examples; as many as make some thousands if not given."""
    most: int = Field(default=10_000, ge=1)
    """Examples of one epoch at most."""
    missed: Literal["skip", "add"] = "skip"
    """What becomes of targets outside of the slate that is served. Added ones teach that the odd one out is right."""
    targets: Literal["next", "graded", "teacher"] = "next"
    """next: the item chosen. graded: also what was liked later, by value. teacher: the second stage, with clicks."""
    temperature: float = Field(default=1.0, gt=0)
    """Of the teacher's softmax."""
    click_share: float = Field(default=0.3, ge=0, le=1)
    """Weight of the item chosen beside the teacher."""
    offset: bool = False
    """Adds the scores of the second stage to the model's in the loss, so that it learns what they do not know."""
    queries: float = Field(default=0.0, ge=0, le=1)
    """Share of the examples with a simulated query for the item chosen, which retrieval hears too."""
    popularity_power: float = Field(default=0.0, ge=0)
    """Inverse-propensity weights against popularity; 0 is off."""

    @model_validator(mode="before")
    @classmethod
    def _current_names(cls, data: Any) -> Any:
        return current_name(data, "requests", "queries", "examples of a training")


class SlateSource:
    """Implements `ExampleSource` over the training positions of a log. See `ExampleSettings`.

    An example depends on its arguments and the seed only. The slate is in retrieval order, as when served.
    """

    def __init__(
        self,
        positions: HeldOutPositions,
        items: Sequence[Item],
        pools: TrainingPools,
        options: ExampleSettings,
        *,
        liked: float,
        requests: SimulatedQueries | None = None,
        seed: int = 0,
    ) -> None:
        self.positions, self.items, self.pools, self._options = positions, items, pools, options
        self._requests, self._seed = requests, seed
        self._n = options.candidates or RetrievalSettings().candidates
        whole = positions.whole
        self._liked = event_labels(whole.value, liked) > 0
        self._grade = np.where(self._liked, grades(whole.value), 0.0)
        counts = np.bincount(positions.rest.item, minlength=whole.n_items)
        self._evidence = FactExtractor.of_log(positions.rest, items, liked)
        self._weight = popularity_weights(counts[whole.item[pools.row]], options.popularity_power)

    def __len__(self) -> int:
        return len(self.pools)

    def example(self, epoch: int, index: int, difficulty: float) -> Example:
        """See `ExampleSource`."""
        generator = np.random.default_rng([self._seed, epoch, index])
        pools, options = self.pools, self._options
        row, place = int(pools.row[index]), int(pools.place[index])
        pool = pools.item[index]
        later = self.positions.later(row)
        allowed = pool >= 0
        if options.targets != "graded":
            # What the user liked later is no negative, although they did not choose it next.
            allowed &= ~np.isin(pool, self.positions.whole.item[later][self._liked[later]])
        columns = draw(pools.base[index], place, self._n, difficulty, allowed, generator)
        history, _ = self.positions.request(row, self.items)
        return Example(
            history,
            slate(pools, index, columns, self.items),
            self._target(index, columns),
            float(self._weight[index]),
            pools.base[index, columns] if options.offset else None,
            request_at(self._requests, self.positions, row, self.items),
            evidence=self._evidence,
        )

    def _target(self, index: int, columns: Index) -> FloatArray:
        pools, options = self.pools, self._options
        click = one_hot(len(columns), int(np.searchsorted(columns, pools.place[index])))
        if options.targets == "teacher":
            return distilled(pools.base[index, columns], click, options.temperature, options.click_share)
        if options.targets == "graded":
            row = int(pools.row[index])
            events = slice(row, self.positions.later(row).stop)
            return graded(pools.item[index, columns], self.positions.whole.item[events], self._grade[events])
        return click


def slate(pools: TrainingPools, index: int, columns: Index, items: Sequence[Item]) -> Candidates:
    """The candidates in the given columns of a pool."""
    return Candidates(
        tuple(
            Candidate(items[item], score)
            for item, score in zip(
                pools.item[index, columns].tolist(), pools.score[index, columns].tolist(), strict=True
            )
        )
    )


def request_at(
    requests: SimulatedQueries | None, positions: HeldOutPositions, row: int, items: Sequence[Item]
) -> str | None:
    """What is asked for in words at a row; None without requests, or where nothing is said."""
    return None if requests is None else requests.at(row, items[int(positions.whole.item[row])])


def validation_examples(
    positions: HeldOutPositions,
    items: Sequence[Item],
    pools: TrainingPools,
    *,
    candidates: int = 20,
    offset: bool = False,
    requests: SimulatedQueries | None = None,
    liked: float = ScoringSettings().liked,
) -> list[Example]:
    """One example for each pool whose target is in its slate, with the slate as served: NDCG then means re-ranking."""
    examples, evidence = [], FactExtractor.of_log(positions.rest, items, liked)
    for index in range(len(pools)):
        columns = pools.served(index, candidates)
        chosen = np.flatnonzero(columns == pools.place[index])
        if len(chosen):
            row = int(pools.row[index])
            history, _ = positions.request(row, items)
            examples.append(
                Example(
                    history,
                    slate(pools, index, columns, items),
                    one_hot(len(columns), int(chosen[0])),
                    offset=pools.base[index, columns] if offset else None,
                    query=request_at(requests, positions, row, items),
                    evidence=evidence,
                )
            )
    return examples
