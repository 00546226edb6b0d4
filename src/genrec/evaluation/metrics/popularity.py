"""Average recommendation popularity: the mean share of training users who touched the items of a list.

    mean over the first k of (training users who touched the item / training users)

Source: Yin, Cui, Li, Yao and Chen, Challenging the long tail recommendation, VLDB 2012.
"""

from __future__ import annotations

from collections.abc import Sequence

from genrec.data.interactions import IntArray
from genrec.evaluation.catalogue import CatalogueFacts
from genrec.evaluation.hits import mean_over_places
from genrec.evaluation.metrics import Better, Values

DEFINITION = "mean over the first k of the share of training users who touched the item"
BETTER: Better = "neither"


def per_list(ranked: IntArray, targets: Sequence[IntArray], facts: CatalogueFacts, k: int) -> Values:
    """Share in [0, 1] for each user [m]; NaN for an empty list."""
    top = ranked[:, :k]
    return mean_over_places(facts.popularity[top], top >= 0)
