"""The reward model of doubly robust estimation: smoothed click rates of items at places, cross-fitted.

q(item, place) = b(place) * (clicks(item) + s) / (e(item) + s): b is the click rate of the place, e the clicks that the
item would have if it were as good as the mean item at the places where it was shown. The item's factor is the mean of a
gamma posterior with prior mean 1 (examination times attractiveness, as in Richardson, Dominowska and Ragno, Predicting
clicks, WWW 2007; the shrinkage is empirical Bayes' for Poisson counts).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from genrec.data.interactions import BoolArray, FloatArray
from genrec.evaluation.offpolicy.rounds import Owners

Positions = npt.NDArray[np.int64]

STRENGTH = 1.0
"""s: clicks at which an item's own rate and the mean item's weigh the same."""
FOLDS = 5


def click_rates(item: Positions, place: Positions, reward: FloatArray, n_items: int, n_places: int) -> FloatArray:
    """Rates q [n_items, n_places] from rows: `item`, `place` and `reward` [n], rows with an item below 0 left out."""
    shown = item >= 0
    item, place, reward = item[shown], place[shown], reward[shown]
    counts = np.bincount(place, minlength=n_places)
    base = np.bincount(place, reward, n_places) / np.maximum(counts, 1)
    clicks = np.bincount(item, reward, n_items)
    expected = np.bincount(item, base[place], n_items)
    factor = (clicks + STRENGTH) / (expected + STRENGTH)
    rates: FloatArray = np.minimum(factor[:, None] * base[None, :], 1.0)
    return rates


def cross_fitted(
    item: Positions, place: Positions, reward: FloatArray, owner: Owners, n_items: int, n_places: int, seed: int = 0
) -> Iterator[tuple[BoolArray, FloatArray]]:
    """For each fold its rows (mask [n]) and the rates [n_items, n_places] that were fitted on all other folds.

    `item`, `place` and `reward` are [n, K]. Folds are of owners, so that no user's clicks predict their own.
    """
    fold = np.random.default_rng(seed).permutation(int(owner.max()) + 1)[owner] % FOLDS
    for number in range(FOLDS):
        rows: BoolArray = fold == number
        if rows.any():
            rest = ~rows
            fitted = click_rates(item[rest].ravel(), place[rest].ravel(), reward[rest].ravel(), n_items, n_places)
            yield rows, fitted
