"""Normalised discounted cumulative gain with binary relevance.

    DCG@k  = sum over places r = 1..k of relevant(r) / log2(r + 1)
    nDCG@k = DCG@k / (sum over r = 1..min(|relevant|, k) of 1 / log2(r + 1))

Source: Jaervelin and Kekaelaeinen, Cumulated gain-based evaluation of IR techniques, ACM TOIS 20(4), 2002.
"""

import numpy as np

from genrec.data.ndcg import discounts
from genrec.evaluation.metrics import Better, Lists, Reads, Values

DEFINITION = "sum of 1/log2(place + 1) over hits in the first k / the same for min(relevant, k) items on top"
BETTER: Better = "higher"
READS: Reads = "targets"


def per_user(lists: Lists) -> Values:
    """Value in [0, 1] for each user [m]."""
    worth = discounts(lists.k)
    ideal = np.concatenate(([0.0], np.cumsum(worth)))[np.minimum(lists.relevant, lists.k)]
    normalised: Values = lists.hits @ worth[: lists.hits.shape[1]] / np.maximum(ideal, worth[0])
    return normalised
