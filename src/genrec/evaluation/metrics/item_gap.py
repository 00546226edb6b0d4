"""Gap between item groups: how much better relevant items of one group are found than those of another.

    largest - smallest over groups of (relevant items of the group among the first k / relevant items of the group)

Groups are head, tail and untouched items; those with fewer than 20 relevant items are left out. A largest difference is
above 0 by chance alone, so an interval without 0 proves nothing: compare it between systems. Source: Zhu, Wang and
Caverlee, Measuring and mitigating item under-recommendation bias in personalized ranking systems, SIGIR 2020.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from genrec.data.interactions import IntArray
from genrec.evaluation import groups
from genrec.evaluation.catalogue import CatalogueFacts
from genrec.evaluation.hits import hits, relevant_counts
from genrec.evaluation.metrics import Better, Values

DEFINITION = "largest difference of recall in the first k between head, tail and untouched items"
BETTER: Better = "lower"


def over_lists(ranked: IntArray, targets: Sequence[IntArray], facts: CatalogueFacts, k: int, weights: Values) -> Values:
    """Value in [0, 1] for each resample [b]; NaN where fewer than two groups have relevant items."""
    return groups.gap(by_group(ranked, targets, facts, k, weights))


def by_group(ranked: IntArray, targets: Sequence[IntArray], facts: CatalogueFacts, k: int, weights: Values) -> Values:
    """Recall of the relevant items of each group of `facts.item_groups` in each resample [b, G]."""
    top, n_groups = ranked[:, :k], len(facts.item_groups)
    owners = np.repeat(np.arange(len(targets)), relevant_counts(targets))
    relevant = np.concatenate([*targets, np.zeros(0, np.int32)])
    wanted, found = np.zeros((len(top), n_groups)), np.zeros((len(top), n_groups))
    np.add.at(wanted, (owners, facts.item_group[relevant]), 1)
    user, place = np.nonzero(hits(ranked, targets, k))
    np.add.at(found, (user, facts.item_group[top[user, place]]), 1)
    return groups.rates(found, wanted, weights)
