"""Mean reciprocal rank of the first relevant item among the first k.

    RR@k = 1 / place of the first hit, 0 without a hit in the first k

Source: Voorhees, The TREC-8 question answering track report, 1999.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from genrec.data.interactions import IntArray
from genrec.evaluation.hits import hits
from genrec.evaluation.metrics import Better, Values

DEFINITION = "1 / place of the first relevant item, 0 if none is among the first k"
BETTER: Better = "higher"


def per_user(ranked: IntArray, targets: Sequence[IntArray], k: int) -> Values:
    """Value in [0, 1] for each user [m]."""
    found = hits(ranked, targets, k)
    if not found.shape[1]:
        return np.zeros(len(found))
    return np.where(found.any(axis=1), 1 / (found.argmax(axis=1) + 1), 0.0)
