"""Recall: the share of a user's relevant items that are among the first k.

    recall@k = |relevant and in the first k| / |relevant|

Not divided by min(|relevant|, k): a user with more than k relevant items cannot reach 1.
Source: Manning, Raghavan and Schuetze, Introduction to Information Retrieval, chapter 8, 2008.
"""

import numpy as np

from genrec.evaluation.metrics import Better, Lists, Reads, Values

DEFINITION = "relevant items among the first k / all relevant items of the user"
BETTER: Better = "higher"
READS: Reads = "targets"


def per_user(lists: Lists) -> Values:
    """Share in [0, 1] for each user [m]."""
    shares: Values = lists.hits.sum(axis=1) / np.maximum(lists.relevant, 1)
    return shares
