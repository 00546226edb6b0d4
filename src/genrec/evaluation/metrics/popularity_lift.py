"""Popularity lift: how much more popular the lists are than what their users had before.

    (mean over users of the popularity of the first k) / (mean over users of the popularity of the history) - 1

Popularity of a list or history is the mean over its distinct items of the share of training users who touched them. 0:
as popular as the users' own choice. Source: Abdollahpouri, Mansoury, Burke and Mobasher, The connection between
popularity bias, calibration, and fairness in recommendation, RecSys 2020.
"""

import numpy as np

from genrec.evaluation.metrics import Better, Lists, Reads, Values

DEFINITION = "mean popularity of the first k / mean popularity of the users' histories, minus 1; 0 is unbiased"
BETTER: Better = "neither"
READS: Reads = "catalogue"


def over_lists(lists: Lists, weights: Values) -> Values:
    """Value of -1 or more for each resample [b], over users with a list and a history; NaN without any."""
    facts = lists.facts
    shown = lists.mean_of(facts.popularity)
    lengths = np.array([len(history) for history in facts.histories])
    profiles = facts.history_matrix @ facts.popularity / np.maximum(lengths, 1)
    both = (lengths > 0) & np.isfinite(shown)
    before = weights[:, both] @ profiles[both]
    after = weights[:, both] @ shown[both]
    ratio: Values = np.divide(after, before, out=np.full(len(before), np.nan), where=before > 0)
    return ratio - 1
