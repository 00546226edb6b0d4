"""Tail exposure: the share of the first k places that go to items outside the head of the catalogue.

    |first k that are not among the most popular fifth of the catalogue| / |first k|

Source: Abdollahpouri, Burke and Mobasher, Managing popularity bias in recommender systems with personalized re-ranking,
FLAIRS 2019 (average percentage of long-tail items).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from genrec.data.interactions import IntArray
from genrec.evaluation.catalogue import CatalogueFacts
from genrec.evaluation.hits import mean_over_places
from genrec.evaluation.metrics import Better, Values

DEFINITION = "share of the first k that are not among the most popular fifth of the catalogue"
BETTER: Better = "neither"


def per_list(ranked: IntArray, targets: Sequence[IntArray], facts: CatalogueFacts, k: int) -> Values:
    """Share in [0, 1] for each user [m]; NaN for an empty list."""
    top = ranked[:, :k]
    return mean_over_places((facts.item_group[top] != 0).astype(np.float64), top >= 0)
