"""Mean average precision over the first k.

    AP@k = sum over places r = 1..k of relevant(r) * (hits in the first r) / r, divided by |relevant|

Divided by all relevant items, as trec_eval does, not by min(|relevant|, k).
Source: Buckley and Voorhees, Retrieval system evaluation, in: TREC, 2005.
"""

import numpy as np

from genrec.evaluation.metrics import Better, Lists, Reads, Values

DEFINITION = "sum of the precision at each hit in the first k / all relevant items of the user"
BETTER: Better = "higher"
READS: Reads = "targets"


def per_user(lists: Lists) -> Values:
    """Value in [0, 1] for each user [m]."""
    precision = lists.hits.cumsum(axis=1) / np.arange(1, lists.hits.shape[1] + 1)
    averages: Values = (lists.hits * precision).sum(axis=1) / np.maximum(lists.relevant, 1)
    return averages
