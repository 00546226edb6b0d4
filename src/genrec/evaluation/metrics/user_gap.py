"""Gap between user groups: how much better some users are served than others.

    largest - smallest over groups of mean nDCG@k

Groups are those of the facts: by length of history, or as given; those with fewer than 20 users are left out. A largest
difference is above 0 by chance alone, so an interval without 0 proves nothing: compare it between systems, or two
groups with each other. Source: Ekstrand et al., All the cool kids, how do they fit in? FAT* 2018.
"""

import numpy as np

from genrec.evaluation import groups
from genrec.evaluation.catalogue import CatalogueFacts
from genrec.evaluation.metrics import Better, Lists, Reads, Values, ndcg

DEFINITION = "largest difference of mean ndcg in the first k between groups of users"
BETTER: Better = "lower"
READS: Reads = "catalogue"


def over_lists(lists: Lists, weights: Values) -> Values:
    """Value in [0, 1] for each resample [b]; NaN where fewer than two groups have users."""
    return groups.gap(by_group(ndcg.per_user(lists), lists.facts, weights))


def by_group(values: Values, facts: CatalogueFacts, weights: Values) -> Values:
    """Mean of the values [m] of any metric in each group of `facts.user_groups`, in each resample [b, G]."""
    members = (facts.user_group[:, None] == np.arange(len(facts.user_groups))).astype(np.float64)
    return groups.rates(members * values[:, None], members, weights)
