"""Gap between item groups: how much better relevant items of one group are found than those of another.

    largest - smallest over groups of (relevant items of the group among the first k / relevant items of the group)

Groups are head, tail and untouched items; those with fewer than 20 relevant items are left out. A largest difference is
above 0 by chance alone, so an interval without 0 proves nothing: compare it between systems. Source: Zhu, Wang and
Caverlee, Measuring and mitigating item under-recommendation bias in personalized ranking systems, SIGIR 2020.
"""

import numpy as np

from genrec.evaluation import groups
from genrec.evaluation.metrics import Better, Lists, Reads, Values

DEFINITION = "largest difference of recall in the first k between head, tail and untouched items"
BETTER: Better = "lower"
READS: Reads = "catalogue"


def over_lists(lists: Lists, weights: Values) -> Values:
    """Value in [0, 1] for each resample [b]; NaN where fewer than two groups have relevant items."""
    return groups.gap(by_group(lists, weights))


def by_group(lists: Lists, weights: Values) -> Values:
    """Recall of the relevant items of each group of `facts.item_groups` in each resample [b, G]."""
    group, top, n_groups = lists.facts.item_group, lists.top, len(lists.facts.item_groups)
    owners = np.repeat(np.arange(len(top)), lists.relevant)
    relevant = np.concatenate([*lists.targets, np.zeros(0, np.int32)])
    wanted, found = np.zeros((len(top), n_groups)), np.zeros((len(top), n_groups))
    np.add.at(wanted, (owners, group[relevant]), 1)
    user, place = np.nonzero(lists.hits)
    np.add.at(found, (user, group[top[user, place]]), 1)
    return groups.rates(found, wanted, weights)
