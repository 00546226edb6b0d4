"""Catalogue coverage: the share of all items that anyone is shown among the first k.

    |union of the first k of all users| / |catalogue|

It grows with the number of users, so compare it over the same users only.
Source: Ge, Delgado-Battenfeld and Jannach, Beyond accuracy: evaluating recommender systems by coverage and serendipity,
RecSys 2010.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from genrec.data.interactions import IntArray
from genrec.evaluation.catalogue import CatalogueFacts
from genrec.evaluation.hits import exposure
from genrec.evaluation.metrics import Better, Values

DEFINITION = "items that anyone is shown among the first k / all items of the catalogue"
BETTER: Better = "higher"


def over_lists(ranked: IntArray, targets: Sequence[IntArray], facts: CatalogueFacts, k: int, weights: Values) -> Values:
    """Share in [0, 1] for each resample [b]; NaN for an empty catalogue."""
    if not facts.n_items:
        return np.full(len(weights), np.nan)
    shares: Values = (exposure(ranked, k, facts.n_items, weights) > 0).mean(axis=1)
    return shares
