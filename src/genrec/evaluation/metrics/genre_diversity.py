"""Intra-list diversity by genre: the mean Jaccard distance between the genres of the items of a list.

    mean over pairs i < j of the first k of 1 - |genres of both| / |genres of either|

Items without genres are left out. Source: Smyth and McClave, Similarity vs. diversity, ICCBR 2001; Jaccard, The
distribution of the flora in the alpine zone, New Phytologist 11, 1912.
"""

import numpy as np

from genrec.evaluation.lists import mean_over_places
from genrec.evaluation.metrics import Better, Lists, Reads, Values

DEFINITION = "mean over all pairs among the first k of 1 - genres of both items / genres of either"
BETTER: Better = "neither"
READS: Reads = "genres"
CHUNK = 1024


def per_user(lists: Lists) -> Values:
    """Value in [0, 1] for each user [m]; NaN for fewer than two items with genres. DataError without genres."""
    genres, top = lists.facts.known_genres(), lists.top
    upper = np.triu(np.ones((top.shape[1], top.shape[1]), dtype=np.bool_), 1)
    distances = np.full(len(top), np.nan)
    for start in range(0, len(top), CHUNK):
        rows = top[start : start + CHUNK]
        shown = (genres[rows] & (rows >= 0)[:, :, None]).astype(np.float64)
        both = shown @ shown.transpose(0, 2, 1)
        size = shown.sum(axis=2)
        either = size[:, :, None] + size[:, None, :] - both
        counted = (size[:, :, None] > 0) & (size[:, None, :] > 0) & upper
        distance = 1 - both / np.maximum(either, 1)
        distances[start : start + CHUNK] = mean_over_places(
            distance.reshape(len(rows), -1), counted.reshape(len(rows), -1)
        )
    return distances
