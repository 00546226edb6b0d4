"""Learning from lists that were shown: clicked items against the others, and pairs of clicked and skipped."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from genrec.data.histories import spans
from genrec.data.interactions import FloatArray, Interactions
from genrec.data.splits import validation_mask
from genrec.data.store import Exposure
from genrec.domain import Candidate, Candidates, History, Item
from genrec.facts.extract import FactExtractor
from genrec.settings import ScoringSettings
from genrec.training.base import Example
from genrec.training.propensity import normalised, position_weights

Shown = Sequence[tuple[Exposure, Collection[str]]]
"""Shown lists with the ids that were clicked in them."""


@dataclass(frozen=True, eq=False)
class PreferencePair:
    """Of the slate of `example`, the candidate at `chosen` was preferred to the one at `rejected` (positions)."""

    example: Example
    chosen: int
    rejected: int
    weight: float = 1.0


class ExposureSource:
    """Implements `ExampleSource` over shown lists with a click; `difficulty` says nothing here, they are as served.

    `log` is the training part of a log: lists with a click that it does not hold are left out, as are those of
    validation users (with `validation`: of all others), and items that the catalogue does not know. The slate is the
    list as shown (its first `candidates` places).
    The target is shared by the clicked items in proportion to their inverse propensities w(rank) of `position_weights`,
    whose sum is the weight: a list costs the sum over its clicks of -w(rank) * log softmax(score), the listwise loss
    of Ai et al. 2018 (Unbiased Learning to Rank with Unbiased Propensity Estimation).
    """

    def __init__(
        self,
        log: Interactions,
        items: Sequence[Item],
        shown: Shown,
        *,
        candidates: int = 20,
        eta: float = 0.0,
        most: float = 10.0,
        validation: bool = False,
        liked: float = ScoringSettings().liked,
    ) -> None:
        self._log, self._items = log, items
        self._user = {str(user): place for place, user in enumerate(log.user_ids)}
        self._item = {str(item): place for place, item in enumerate(log.item_ids)}
        mask = validation_mask(self._user)
        weights = position_weights(np.arange(1, candidates + 1), eta, most)
        self._lists: list[tuple[int, int, list[int], FloatArray]] = []
        for exposure, clicked in shown:
            user = self._user.get(exposure.user_id or "", -1)
            if user < 0 or mask[user] != validation:
                continue
            places = [place for place, item in enumerate(exposure.item_ids[:candidates]) if item in self._item]
            slate = [self._item[exposure.item_ids[place]] for place in places]
            hit = np.array([exposure.item_ids[place] in clicked for place in places], dtype=np.bool_)
            before, after = self._around(user, exposure.timestamp)
            if 0 < hit.sum() < len(hit) and np.isin(np.array(slate)[hit], log.item[after]).all():
                self._lists.append((user, before, slate, np.where(hit, weights[places], 0.0)))
        self._evidence = FactExtractor.of_log(self._before_lists(), items, liked)
        self._weight = normalised(np.array([gain.sum() for *_, gain in self._lists]), most)

    def __len__(self) -> int:
        return len(self._lists)

    def example(self, epoch: int, index: int, difficulty: float) -> Example:
        """See `ExampleSource`."""
        user, before, slate, gain = self._lists[index]
        history = self._log.history(user, self._items)
        seen = History(history.user_id, history.entries[:before])
        candidates = tuple(Candidate(self._items[item], -float(place)) for place, item in enumerate(slate))
        return Example(
            seen, Candidates(candidates), gain / gain.sum(), float(self._weight[index]), evidence=self._evidence
        )

    def _before_lists(self) -> Interactions:
        """The log without what users did from their first list on: the clicks are not among what is known of them."""
        keep = np.ones(len(self._log), dtype=np.bool_)
        for user, before, *_ in self._lists:
            rows = self._log.rows_of(user)
            keep[rows.start + before : rows.stop] = False
        return self._log.select(keep)

    def _around(self, user: int, time: float) -> tuple[int, slice]:
        """How many events a user has strictly before a time, and the rows of the others."""
        first, end = spans(self._log, np.array([user], np.int32), np.array([time]))
        return int(end[0] - first[0]), slice(int(end[0]), self._log.rows_of(user).stop)


def pairs_of(example: Example, most: int = 4) -> list[PreferencePair]:
    """Pairs of an example: each item with a target against the nearest `most` above it in the slate that have none.

    'Click > skip above' (Joachims et al. 2005, Accurately Interpreting Clickthrough Data as Implicit Feedback): what
    stands above a click was seen, what stands below perhaps not. A pair weighs what its example and target weigh.
    """
    pairs = []
    for chosen in np.flatnonzero(example.target > 0).tolist():
        skipped = np.flatnonzero(example.target[:chosen] <= 0)[::-1][:most]
        weight = example.weight * float(example.target[chosen])
        pairs += [PreferencePair(example, chosen, rejected, weight) for rejected in skipped.tolist()]
    return pairs
