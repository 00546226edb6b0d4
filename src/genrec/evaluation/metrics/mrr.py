"""Mean reciprocal rank of the first relevant item among the first k.

    RR@k = 1 / place of the first hit, 0 without a hit in the first k

Source: Voorhees, The TREC-8 question answering track report, 1999.
"""

import numpy as np

from genrec.evaluation.metrics import Better, Lists, Reads, Values

DEFINITION = "1 / place of the first relevant item, 0 if none is among the first k"
BETTER: Better = "higher"
READS: Reads = "targets"


def per_user(lists: Lists) -> Values:
    """Value in [0, 1] for each user [m]."""
    if not lists.hits.shape[1]:
        return np.zeros(len(lists.hits))
    return np.where(lists.hits.any(axis=1), 1 / (lists.hits.argmax(axis=1) + 1), 0.0)
