"""Average recommendation popularity: the mean share of training users who touched the items of a list.

    mean over the first k of (training users who touched the item / training users)

Source: Yin, Cui, Li, Yao and Chen, Challenging the long tail recommendation, VLDB 2012.
"""

from genrec.evaluation.metrics import Better, Lists, Reads, Values

DEFINITION = "mean over the first k of the share of training users who touched the item"
BETTER: Better = "neither"
READS: Reads = "catalogue"


def per_user(lists: Lists) -> Values:
    """Share in [0, 1] for each user [m]; NaN for an empty list."""
    return lists.mean_of(lists.facts.popularity)
