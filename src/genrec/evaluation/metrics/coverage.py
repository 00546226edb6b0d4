"""Catalogue coverage: the share of all items that anyone is shown among the first k.

    |union of the first k of all users| / |catalogue|

It grows with the number of users, so compare it over the same users only.
Source: Ge, Delgado-Battenfeld and Jannach, Beyond accuracy: evaluating recommender systems by coverage and serendipity,
RecSys 2010.
"""

import numpy as np

from genrec.evaluation.metrics import Better, Lists, Reads, Values

DEFINITION = "items that anyone is shown among the first k / all items of the catalogue"
BETTER: Better = "higher"
READS: Reads = "catalogue"


def over_lists(lists: Lists, weights: Values) -> Values:
    """Share in [0, 1] for each resample [b]; NaN for an empty catalogue."""
    if not lists.facts.n_items:
        return np.full(len(weights), np.nan)
    shares: Values = (lists.exposure(weights) > 0).mean(axis=1)
    return shares
