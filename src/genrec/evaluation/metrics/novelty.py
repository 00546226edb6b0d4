"""Novelty: the mean self-information of the items of a list, in bits. One bit more: known to half as many users.

    mean over the first k of -log2((training users who touched the item + 1) / (training users + 1))

The added one keeps items that nobody touched finite. Source: Zhou, Kuscsik, Liu, Medo, Wakeling and Zhang, Solving the
apparent diversity-accuracy dilemma of recommender systems, PNAS 107(10), 2010.
"""

import numpy as np

from genrec.evaluation.metrics import Better, Lists, Reads, Values

DEFINITION = "mean over the first k of -log2 of the share of training users who touched the item, smoothed by one"
BETTER: Better = "neither"
READS: Reads = "catalogue"


def per_user(lists: Lists) -> Values:
    """Bits of 0 or more for each user [m]; NaN for an empty list."""
    facts = lists.facts
    return lists.mean_of(-np.log2((facts.item_users + 1) / (facts.n_users + 1)))
