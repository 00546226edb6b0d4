"""Gini index of exposure: how unequally the places of all lists are given to the items of the catalogue.

    sum over j = 1..I of (2 j - I - 1) * p(j) / (I - 1)

p(1) <= p(2) <= ... are the items' shares of all places. 0: every item is shown equally often; 1: one item has them all.
Source: Shani and Gunawardana, Evaluating recommendation systems, in: Recommender Systems Handbook, 2011.
"""

import numpy as np

from genrec.evaluation.metrics import Better, Lists, Reads, Values

DEFINITION = "inequality of how often items are among the first k: 0 all equally often, 1 one item takes every place"
BETTER: Better = "lower"
READS: Reads = "catalogue"


def over_lists(lists: Lists, weights: Values) -> Values:
    """Value in [0, 1] for each resample [b]; NaN where nothing is shown or the catalogue has fewer than two items."""
    n = lists.facts.n_items
    shown = np.sort(lists.exposure(weights), axis=1)
    total = shown.sum(axis=1) * max(n - 1, 0)
    unequal = shown @ (2.0 * np.arange(1, n + 1) - n - 1)
    index: Values = np.divide(unequal, total, out=np.full(len(total), np.nan), where=total > 0)
    return index
