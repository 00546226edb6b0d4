"""What an off-policy estimator is: the value of a policy, in clicks on a list, from what was shown under another one.

Every estimator is a sum over columns c of mean(numerator[:, c]) / mean(denominator[:, c]) over logged lists, so that
one bootstrap serves them all (`resample`). With one place the value is the click rate. The weights of a list, of the
list down to a place (`prefix`) and of a place alone (`place`) are those of `rounds.Rounds`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from genrec.artifacts.alternatives import ModuleAlternatives
from genrec.data.interactions import FloatArray
from genrec.evaluation import significance
from genrec.evaluation.offpolicy.rounds import Owners, Rounds


@dataclass(frozen=True, eq=False)
class Terms:
    """What each of n rounds adds: `numerator` and `denominator` [n, c]."""

    numerator: FloatArray
    denominator: FloatArray

    @classmethod
    def plain(cls, gained: FloatArray) -> Terms:
        """For estimators that are a mean of `gained` [n]."""
        return cls(gained[:, None], np.ones((len(gained), 1)))

    def estimate(self) -> float:
        """Sum over columns of mean numerator over mean denominator; NaN where all weights of a column are 0."""
        return float(_ratios(self.numerator.sum(axis=0), self.denominator.sum(axis=0)))


class Estimator(Protocol):
    """One alternative is one module of `genrec.evaluation.offpolicy.estimators` with these."""

    DEFINITION: str
    """What it is, in a line."""
    NEEDS: tuple[str, ...]
    """The fields of `Rounds` that it reads."""

    def terms(self, rounds: Rounds) -> Terms:
        """What each round adds to the estimate; the fields that it needs are there, [n, K]."""


ESTIMATORS: ModuleAlternatives[Estimator] = ModuleAlternatives(
    "estimator", "genrec.evaluation.offpolicy.estimators", Estimator
)


def needed(rounds: Rounds, fields: Sequence[str]) -> list[FloatArray]:
    """The fields of the rounds, which are known to be there."""
    return [getattr(rounds, field) for field in fields]


def lacking(name: str, rounds: Rounds) -> list[str]:
    """The needs of an estimator that the rounds do not meet. NotFoundError with all names if there is none such."""
    return [field for field in ESTIMATORS.find(name).NEEDS if getattr(rounds, field, None) is None]


def usable(rounds: Rounds) -> list[str]:
    """The estimators in the box whose needs the rounds meet."""
    return [name for name in ESTIMATORS.names() if not lacking(name, rounds)]


def resample(terms: Sequence[Terms], owner: Owners, seed: int = 0) -> list[FloatArray]:
    """Bootstrapped values [resamples] of each estimate over the same n rounds; NaN where a resample has no weight."""
    stacked = np.concatenate([part for term in terms for part in (term.numerator, term.denominator)], axis=1)
    sums = np.zeros((int(owner.max()) + 1, stacked.shape[1]))
    np.add.at(sums, owner, stacked)
    drawn = np.concatenate([weights @ sums for weights in significance.user_weights(len(sums), seed=seed)])
    widths = [term.numerator.shape[1] for term in terms for _ in range(2)]
    parts = np.split(drawn, np.cumsum(widths)[:-1], axis=1)
    return [_ratios(*pair) for pair in zip(parts[::2], parts[1::2], strict=True)]


def _ratios(numerator: FloatArray, denominator: FloatArray) -> FloatArray:
    """Sum over columns [..., c] of numerator / denominator; NaN where a denominator is 0."""
    shares = np.divide(numerator, denominator, out=np.full_like(numerator, np.nan), where=denominator > 0)
    total: FloatArray = shares.sum(axis=-1)
    return total
