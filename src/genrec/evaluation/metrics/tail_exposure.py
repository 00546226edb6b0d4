"""Tail exposure: the share of the first k places that go to items outside the head of the catalogue.

    |first k that are not among the most popular fifth of the catalogue| / |first k|

Source: Abdollahpouri, Burke and Mobasher, Managing popularity bias in recommender systems with personalized re-ranking,
FLAIRS 2019 (average percentage of long-tail items).
"""

import numpy as np

from genrec.evaluation.metrics import Better, Lists, Reads, Values

DEFINITION = "share of the first k that are not among the most popular fifth of the catalogue"
BETTER: Better = "neither"
READS: Reads = "catalogue"


def per_user(lists: Lists) -> Values:
    """Share in [0, 1] for each user [m]; NaN for an empty list."""
    return lists.mean_of((lists.facts.item_group != 0).astype(np.float64))
