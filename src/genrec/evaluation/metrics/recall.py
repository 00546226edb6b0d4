"""Recall: the share of a user's relevant items that are among the first k.

    recall@k = |relevant and in the first k| / |relevant|

Not divided by min(|relevant|, k): a user with more than k relevant items cannot reach 1.
Source: Manning, Raghavan and Schuetze, Introduction to Information Retrieval, chapter 8, 2008.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from genrec.data.interactions import IntArray
from genrec.evaluation.hits import hits, relevant_counts
from genrec.evaluation.metrics import Better, Values

DEFINITION = "relevant items among the first k / all relevant items of the user"
BETTER: Better = "higher"


def per_user(ranked: IntArray, targets: Sequence[IntArray], k: int) -> Values:
    """Share in [0, 1] for each user [m]."""
    shares: Values = hits(ranked, targets, k).sum(axis=1) / np.maximum(relevant_counts(targets), 1)
    return shares
