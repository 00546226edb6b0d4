"""Groups of users and of items, and how far apart a measure is between them.

Which users and items are served worse is hidden by means. Source: Ekstrand et al., All the cool kids, how do they fit
in? Popularity and demographic biases in recommender evaluation and effectiveness, FAT* 2018.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from genrec.data.interactions import IntArray

Values = npt.NDArray[np.float64]

HISTORY_EDGES = (5, 20, 100)
HISTORY_GROUPS = ("1 to 5 events", "6 to 20 events", "21 to 100 events", "over 100 events")
"""Users by the length of their history."""

HEAD_SHARE = 0.2
POPULARITY_GROUPS = ("head", "tail", "untouched")
"""Items by popularity: the most popular fifth of the catalogue, the others that anyone touched, and the rest."""

FEW = 20
"""Groups with fewer users (or relevant items) say nothing and are left out of gaps."""


def by_history(lengths: IntArray) -> IntArray:
    """The group in HISTORY_GROUPS of each history length [m]."""
    return np.searchsorted(HISTORY_EDGES, lengths, side="left").astype(np.int32)


def by_popularity(item_users: IntArray) -> IntArray:
    """The group in POPULARITY_GROUPS of each item [I], from the number of users who touched it [I].

    Of equally popular items at the border the ones that stand first in the catalogue are head.
    """
    head = np.argsort(-item_users.astype(np.int64), kind="stable")[: round(HEAD_SHARE * len(item_users))]
    group = np.ones(len(item_users), dtype=np.int32)
    group[head] = 0
    group[item_users == 0] = 2
    return group


def rates(numerator: Values, denominator: Values, weights: Values) -> Values:
    """Sum of numerator [m, G] over sum of denominator [m, G] in each resample of weights [b, m]: [b, G].

    NaN for groups whose denominator is below FEW over all users, and in resamples where it is 0.
    """
    below = weights @ denominator
    known = (denominator.sum(axis=0) >= FEW) & (below > 0)
    found: Values = np.divide(weights @ numerator, below, out=np.full(below.shape, np.nan), where=known)
    return found


def gap(rates_of_groups: Values) -> Values:
    """Largest minus smallest of each row [b, G], without NaN; NaN [b] where fewer than two groups are known."""
    known = np.isfinite(rates_of_groups)
    highest = np.where(known, rates_of_groups, -np.inf).max(axis=1, initial=-np.inf)
    lowest = np.where(known, rates_of_groups, np.inf).min(axis=1, initial=np.inf)
    found: Values = np.where(known.sum(axis=1) >= 2, highest - lowest, np.nan)
    return found
