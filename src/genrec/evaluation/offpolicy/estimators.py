"""Off-policy estimators: the value of a policy, in clicks on a list, from what was shown under another one.

Every estimator is a sum over columns c of mean(numerator[:, c]) / mean(denominator[:, c]) over logged lists, so that
one bootstrap serves them all (`resample`). With one place the value is the click rate. The weights of a list, of the
list down to a place (`prefix`) and of a place alone (`place`) are those of `rounds.Rounds`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from genrec.data.interactions import FloatArray
from genrec.errors import NotFoundError
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


@dataclass(frozen=True, slots=True)
class Estimator:
    """One estimator: what it is in a line, the fields of `Rounds` that it needs, and its terms from those [n, K]."""

    definition: str
    needs: tuple[str, ...]
    of: Callable[..., Terms]

    def terms(self, rounds: Rounds) -> Terms:
        """What each round adds to the estimate; the fields that it needs are there."""
        return self.of(*(getattr(rounds, field) for field in self.needs))


def _doubly_robust(reward: FloatArray, place: FloatArray, predicted: FloatArray, expected: FloatArray) -> Terms:
    return Terms.plain((expected + place * (reward - predicted)).sum(axis=1))


_PREFIX, _PLACE = ("reward", "prefix"), ("reward", "place")
ESTIMATORS: Mapping[str, Estimator] = {
    # Unbiased if the propensities are right or the reward model q is; the better the model, the less variance. Of what
    # the log can never show, the model alone speaks. With one place Dudik, Langford and Li, Doubly robust policy
    # evaluation and learning, ICML 2011; with several, under the click model of independent_ips.
    "doubly_robust": Estimator(
        "a reward model's guess for the new policy plus the ips of its errors, for each place alone, summed",
        (*_PLACE, "predicted", "expected"),
        _doubly_robust,
    ),
    # Unbiased under the item-position click model. Li, Abbasi-Yadkori, Kveton, Muthukrishnan, Vinay and Wen, Offline
    # evaluation of ranking policies with click models, KDD 2018.
    "independent_ips": Estimator(
        "ips for each place alone, summed: holds if a click depends on the item and its place only",
        _PLACE,
        lambda reward, place: Terms.plain((place * reward).sum(axis=1)),
    ),
    # Each place normalised by its own weights, as Swaminathan and Joachims (NeurIPS 2015) do for single actions.
    "independent_snips": Estimator(
        "independent_ips with each place over the sum of its weights",
        _PLACE,
        lambda reward, place: Terms(place * reward, place),
    ),
    # Unbiased where the logging policy can show every list of the new one; with long lists few weights are not 0.
    # Horvitz and Thompson, JASA 1952; for lists Li, Chen, Kleban and Gupta, WWW 2015 companion.
    "ips": Estimator(
        "inverse propensity scoring: mean of (weight of the whole list) x (clicks on it); unbiased",
        _PREFIX,
        lambda reward, prefix: Terms.plain(prefix[:, -1] * reward.sum(axis=1)),
    ),
    # Unbiased if users read from the top (the cascade assumption). McInerney, Brost, Chandar, Mehrotra and Carterette,
    # Counterfactual evaluation of slate recommendations with sequential reward interactions, KDD 2020, without, and
    # below with, its normalisation.
    "reward_interaction_ips": Estimator(
        "ips with the weight of the list down to each place: holds if a click depends on the items above it",
        _PREFIX,
        lambda reward, prefix: Terms.plain((prefix * reward).sum(axis=1)),
    ),
    "reward_interaction_snips": Estimator(
        "reward_interaction_ips with each place over the sum of its weights",
        _PREFIX,
        lambda reward, prefix: Terms(prefix * reward, prefix),
    ),
    # Biased by O(1/n), with less variance than ips. Swaminathan and Joachims, The self-normalized estimator for
    # counterfactual learning, NeurIPS 2015.
    "snips": Estimator(
        "self-normalised ips: the same sum over the sum of the weights; stays in the range of the rewards",
        _PREFIX,
        lambda reward, prefix: Terms(prefix[:, -1:] * reward.sum(axis=1, keepdims=True), prefix[:, -1:]),
    ),
}


def estimator(name: str) -> Estimator:
    """The estimator of that name; NotFoundError if there is none."""
    if name not in ESTIMATORS:
        raise NotFoundError(f"there is no estimator {name!r}", f"estimators: {', '.join(ESTIMATORS)}")
    return ESTIMATORS[name]


def usable(rounds: Rounds) -> list[str]:
    """The estimators whose needs the rounds meet."""
    return [name for name, one in ESTIMATORS.items() if all(getattr(rounds, field) is not None for field in one.needs)]


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
