"""Normalised discounted cumulative gain with binary relevance.

    DCG@k  = sum over places r = 1..k of relevant(r) / log2(r + 1)
    nDCG@k = DCG@k / (sum over r = 1..min(|relevant|, k) of 1 / log2(r + 1))

Source: Jaervelin and Kekaelaeinen, Cumulated gain-based evaluation of IR techniques, ACM TOIS 20(4), 2002.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from genrec.data.interactions import IntArray
from genrec.evaluation.hits import hits, relevant_counts
from genrec.evaluation.metrics import Better, Values

DEFINITION = "sum of 1/log2(place + 1) over hits in the first k / the same for min(relevant, k) items on top"
BETTER: Better = "higher"


def per_user(ranked: IntArray, targets: Sequence[IntArray], k: int) -> Values:
    """Value in [0, 1] for each user [m]."""
    discounts = 1 / np.log2(np.arange(2, k + 2))
    found = hits(ranked, targets, k)
    ideal = np.concatenate(([0.0], np.cumsum(discounts)))[np.minimum(relevant_counts(targets), k)]
    normalised: Values = found @ discounts[: found.shape[1]] / np.maximum(ideal, discounts[0])
    return normalised
