"""Novelty: the mean self-information of the items of a list, in bits. One bit more: known to half as many users.

    mean over the first k of -log2((training users who touched the item + 1) / (training users + 1))

The added one keeps items that nobody touched finite. Source: Zhou, Kuscsik, Liu, Medo, Wakeling and Zhang, Solving the
apparent diversity-accuracy dilemma of recommender systems, PNAS 107(10), 2010.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from genrec.data.interactions import IntArray
from genrec.evaluation.catalogue import CatalogueFacts
from genrec.evaluation.hits import mean_over_places
from genrec.evaluation.metrics import Better, Values

DEFINITION = "mean over the first k of -log2 of the share of training users who touched the item, smoothed by one"
BETTER: Better = "neither"


def per_list(ranked: IntArray, targets: Sequence[IntArray], facts: CatalogueFacts, k: int) -> Values:
    """Bits of 0 or more for each user [m]; NaN for an empty list."""
    top = ranked[:, :k]
    information = -np.log2((facts.item_users + 1) / (facts.n_users + 1))
    return mean_over_places(information[top], top >= 0)
