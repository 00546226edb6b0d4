"""Mean average precision over the first k.

    AP@k = sum over places r = 1..k of relevant(r) * (hits in the first r) / r, divided by |relevant|

Divided by all relevant items, as trec_eval does, not by min(|relevant|, k).
Source: Buckley and Voorhees, Retrieval system evaluation, in: TREC, 2005.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from genrec.data.interactions import IntArray
from genrec.evaluation.hits import hits, relevant_counts
from genrec.evaluation.metrics import Better, Values

DEFINITION = "sum of the precision at each hit in the first k / all relevant items of the user"
BETTER: Better = "higher"


def per_user(ranked: IntArray, targets: Sequence[IntArray], k: int) -> Values:
    """Value in [0, 1] for each user [m]."""
    found = hits(ranked, targets, k)
    precision = found.cumsum(axis=1) / np.arange(1, found.shape[1] + 1)
    averages: Values = (found * precision).sum(axis=1) / np.maximum(relevant_counts(targets), 1)
    return averages
