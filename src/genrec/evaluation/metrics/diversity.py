"""Intra-list diversity by content: one minus the mean cosine between the items of a list.

    1 - mean over pairs i < j of the first k of <v_i, v_j>

where the sum over pairs is (|sum of v|^2 - sum of |v|^2) / 2. It depends on the encoder: compare within one run.
Source: Ziegler, McNee, Konstan and Lausen, Improving recommendation lists through topic diversification, WWW 2005.
"""

import numpy as np

from genrec.evaluation.metrics import Better, Lists, Reads, Values

DEFINITION = "1 - mean cosine of the item vectors over all pairs among the first k"
BETTER: Better = "neither"
READS: Reads = "catalogue"
CHUNK = 1024


def per_user(lists: Lists) -> Values:
    """Value in [0, 2] for each user [m]; NaN for fewer than two items. DataError without item vectors."""
    vectors, top = lists.facts.known_vectors(), lists.top
    cosines = np.full(len(top), np.nan)
    for start in range(0, len(top), CHUNK):
        rows = top[start : start + CHUNK]
        shown = (vectors[rows] * (rows >= 0)[:, :, None]).astype(np.float64)
        n = (rows >= 0).sum(axis=1)
        pairs = (shown.sum(axis=1) ** 2).sum(axis=1) - (shown**2).sum(axis=(1, 2))
        cosines[start : start + CHUNK] = np.divide(pairs, n * (n - 1), out=np.full(len(n), np.nan), where=n > 1)
    return 1 - cosines
