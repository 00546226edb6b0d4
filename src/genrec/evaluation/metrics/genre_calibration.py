"""Miscalibration of genres: how far a list's mix of genres is from that of the user's history, in nats.

    KL(p || q~) = sum over genres g of p(g) log(p(g) / q~(g)),    q~ = .99 q + .01 p

p is the mean over the history's distinct items, q over the first k, of each item's genres with equal shares. Items
without genres are left out. 0: the same mix. Source: Steck, Calibrated recommendations, RecSys 2018 (with w = 1).
"""

import numpy as np

from genrec.evaluation.metrics import Better, Lists, Reads, Values

DEFINITION = "KL divergence of the first k's mix of genres from that of the history, smoothed by .01, in nats"
BETTER: Better = "lower"
READS: Reads = "genres"
ALPHA = 0.01


def per_user(lists: Lists) -> Values:
    """Value of 0 or more for each user [m]; NaN where list or history has no genres. DataError without genres."""
    genres, top = lists.facts.known_genres(), lists.top
    shares = genres / np.maximum(genres.sum(axis=1, keepdims=True), 1)
    history, shown = lists.facts.history_matrix @ shares, np.zeros((len(top), shares.shape[1]))
    for place in range(top.shape[1]):
        shown += shares[top[:, place]] * (top[:, place] >= 0)[:, None]
    defined = (history.sum(axis=1) > 0) & (shown.sum(axis=1) > 0)
    p, q = (mix[defined] / mix[defined].sum(axis=1, keepdims=True) for mix in (history, shown))
    ratio = np.divide(p, (1 - ALPHA) * q + ALPHA * p, out=np.ones_like(p), where=p > 0)
    divergence = np.full(len(top), np.nan)
    divergence[defined] = (p * np.log(ratio)).sum(axis=1)
    return divergence
