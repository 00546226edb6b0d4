"""Serendipity: the share of the first k places with a relevant item that a primitive recommender would not have shown.

    |relevant, in the first k, and not among the k most popular items that the user has not seen| / k

Popularity is the number of training users; of equals the first in the catalogue is the more popular.
Source: Ge, Delgado-Battenfeld and Jannach, Beyond accuracy: evaluating recommender systems by coverage and serendipity,
RecSys 2010, after Murakami, Mori and Orihara, Metrics for evaluating the serendipity of recommendation lists, 2007.
"""

import numpy as np

from genrec.data.interactions import BoolArray
from genrec.evaluation.metrics import Better, Lists, Reads, Values

DEFINITION = "relevant items among the first k that are not among the k most popular unseen ones / k"
BETTER: Better = "higher"
READS: Reads = "catalogue"


def per_user(lists: Lists) -> Values:
    """Share in [0, 1] for each user [m]."""
    shares: Values = (lists.hits & ~expected(lists)).sum(axis=1) / lists.k
    return shares


def expected(lists: Lists) -> BoolArray:
    """Whether each of the first k items [m, min(k, K)] is one of the user's k most popular unseen ones."""
    facts, top = lists.facts, lists.top
    place = np.empty(facts.n_items, dtype=np.int64)
    place[np.argsort(-facts.item_users.astype(np.int64), kind="stable")] = np.arange(facts.n_items)
    found = np.zeros(top.shape, dtype=np.bool_)
    for row, history in enumerate(facts.histories):
        places = place[top[row]]
        unseen_before = places - np.searchsorted(np.sort(place[history]), places)
        found[row] = (unseen_before < lists.k) & ~np.isin(top[row], history)
    return found & (top >= 0)
