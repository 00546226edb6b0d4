"""Label-position bias: how much the place at which an item is shown to the model decides where it ends up.

By label: the mean over relevant items shown at label j of 1 / log2(place in the ranked list + 1), 0 beyond the first k
(with one relevant item this is its nDCG@k). A reader without bias, shown shuffled slates, has the same at every label;
the standard deviation over labels is the bias. Source: Zheng, Zhou, Meng, Zhou and Huang, Large language models are not
robust multiple choice selectors, ICLR 2024 (standard deviation of recalls); Hou et al., Large language models are
zero-shot rankers for recommender systems, ECIR 2024.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from genrec.data.interactions import IntArray
from genrec.evaluation.hits import hits
from genrec.evaluation.metrics import Better, Values
from genrec.evaluation.significance import Difference, paired

DEFINITION = "standard deviation over labels of the mean discounted gain of relevant items shown at that label"
BETTER: Better = "lower"


@dataclass(frozen=True, eq=False)
class ByLabel:
    """For each of n labels the mean gain of the relevant items shown there (NaN without any), and their number."""

    gain: Values
    relevant: Values

    @property
    def deviation(self) -> float:
        """Standard deviation of the gains over labels; NaN where fewer than two labels have relevant items."""
        known = self.gain[np.isfinite(self.gain)]
        return float(known.std(ddof=1)) if len(known) > 1 else float("nan")


def by_label(presented: IntArray, ranked: IntArray, targets: Sequence[IntArray], k: int) -> ByLabel:
    """Judges lists [m, K] of slates whose items were shown in the order `presented` [m, n], both padded with -1."""
    relevant = hits(presented, targets, presented.shape[1])
    place = np.where(presented[:, :, None] == ranked[:, None, :k], np.arange(min(k, ranked.shape[1])), k).min(
        axis=2, initial=k
    )
    gain = np.where(place < k, 1 / np.log2(place + 2.0), 0.0)
    n = relevant.sum(axis=0).astype(np.float64)
    means = np.divide((gain * relevant).sum(axis=0), n, out=np.full(len(n), np.nan), where=n > 0)
    return ByLabel(means, n)


def shuffle_effect(shuffled: Values, retriever: Values, seed: int = 0) -> Difference:
    """What reading slates shuffled [m] instead of in the retriever's order [m] changes in a metric of the same m users.

    As a share of the mean in the retriever's order, which is taken as known; NaN where that is 0.
    """
    scale = float(retriever.mean()) or float("nan")
    return paired(shuffled / scale, retriever / scale, seed=seed)
