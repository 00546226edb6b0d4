"""What a request in words adds to the second stage: items whose text is near to it, or has its words, come forward."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax

from genrec.data.interactions import FloatArray
from genrec.fusion.pools import Pool

FEWEST = 20
"""With fewer pools to learn from the weights stay as they are."""


@dataclass(frozen=True)
class RequestWeights:
    """bonus = nearness * z + words * shared - alone * [only the request proposes the item].

    z is the cosine of request and item text, standardised over the catalogue; `shared` is the summed idf of the words
    that both have (see `genrec.retrieval.words`), about 1 for each that is rare. `alone` makes up for what the second
    stage never saw: it learned on items that some retriever proposes, and the others are likelier wrong than it says.
    The weights here, for where nothing was learned, are cautious beside those learned on MovieLens and on games.
    """

    nearness: float = 1.0
    words: float = 1.0
    alone: float = 2.0
    pools: int = 0
    """So many pools were learned from."""

    def bonus(self, pool: Pool) -> FloatArray:
        """What is added to the scores of the second stage [n]; 0 without a request."""
        if pool.request is None:
            return np.zeros(len(pool))
        bonus: FloatArray = pool.request @ np.array([self.nearness, self.words, -self.alone])
        return bonus


def fit_request_weights(
    lessons: Sequence[tuple[Pool, int]], second_stage: Callable[[Pool], FloatArray], l2: float = 0.001
) -> RequestWeights:
    """Minimises the mean of -log softmax(second stage + bonus)[target] + l2 * |w|^2 with w >= 0 (convex; L-BFGS-B).

    The pools must be of requests, and of users on whom the second stage did not learn.
    """
    cases = [
        (second_stage(pool), pool.request * [1, 1, -1], target)
        for pool, target in lessons
        if pool.request is not None and len(pool) > 1
    ]
    if len(cases) < FEWEST:
        return RequestWeights()

    def loss(weights: FloatArray) -> tuple[float, FloatArray]:
        value, slope = l2 * float(weights @ weights), 2 * l2 * weights
        for base, parts, target in cases:
            log_p = log_softmax(base + parts @ weights)
            value -= log_p[target] / len(cases)
            slope += (np.exp(log_p) @ parts - parts[target]) / len(cases)
        return float(value), slope

    found = minimize(loss, np.ones(3), jac=True, method="L-BFGS-B", bounds=[(0.0, None)] * 3)
    nearness, words, alone = (float(weight) for weight in found.x)
    return RequestWeights(nearness, words, alone, len(cases))
