"""Hit rate: the share of users with at least one relevant item among the first k.

Also called Success@k. Source: Deshpande and Karypis, Item-based top-N recommendation algorithms, ACM TOIS 22(1), 2004.
"""

from __future__ import annotations

from collections.abc import Sequence

from genrec.data.interactions import IntArray
from genrec.evaluation.hits import hits
from genrec.evaluation.metrics import Better, Values

DEFINITION = "1 if a relevant item is among the first k, else 0"
BETTER: Better = "higher"


def per_user(ranked: IntArray, targets: Sequence[IntArray], k: int) -> Values:
    """1.0 or 0.0 for each user [m]."""
    return hits(ranked, targets, k).any(axis=1).astype("float64")
