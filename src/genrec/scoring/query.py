"""Queries in words in scoring: items whose text is near to what was asked for, or has its words, come forward."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax

from genrec.data.interactions import FloatArray
from genrec.scoring.features import CandidateFeatures
from genrec.scoring.pools import TrainingPool

FEWEST = 20
"""With fewer pools to learn from the weights stay as they are."""


@dataclass(frozen=True)
class QueryWeights:
    """bonus = nearness * z + words * shared - alone * [only the query proposes the item], added to click logits.

    z is the cosine of query and item text, standardised over the catalogue; `shared` is the summed idf of the words
    that both have (see `genrec.retrieval.word_overlap`), about 1 for each that is rare. `alone` makes up for what the
    click head never saw: it learned on items that some retriever proposes, and the others are likelier wrong than it
    says. The weights here, for where nothing was learned, are cautious beside those learned on MovieLens and on games.
    """

    nearness: float = 1.0
    words: float = 1.0
    alone: float = 2.0
    pools: int = 0
    """So many pools were learned from."""

    def bonus(self, features: CandidateFeatures) -> FloatArray:
        """What is added to the logits [n]; 0 without a query."""
        if features.query is None:
            return np.zeros(len(features))
        bonus: FloatArray = features.query @ np.array([self.nearness, self.words, -self.alone])
        return bonus


def fit_query_weights(pools: Sequence[tuple[FloatArray, TrainingPool]], l2: float = 0.001) -> QueryWeights:
    """Minimises the mean of -log softmax(logits + bonus)[target] + l2 * |w|^2 with w >= 0 (convex; L-BFGS-B).

    Each pool comes with its calibrated logits [n] without the bonus; the pools are of queries of users on whom the
    click head did not learn.
    """
    cases = [
        (logits, pool.features.query * [1, 1, -1], pool.target)
        for logits, pool in pools
        if pool.features.query is not None and pool.target is not None and len(logits) > 1
    ]
    if len(cases) < FEWEST:
        return QueryWeights()

    def loss(weights: FloatArray) -> tuple[float, FloatArray]:
        value, slope = l2 * float(weights @ weights), 2 * l2 * weights
        for base, parts, target in cases:
            log_p = log_softmax(base + parts @ weights)
            value -= log_p[target] / len(cases)
            slope += (np.exp(log_p) @ parts - parts[target]) / len(cases)
        return float(value), slope

    found = minimize(loss, np.ones(3), jac=True, method="L-BFGS-B", bounds=[(0.0, None)] * 3)
    nearness, words, alone = (float(weight) for weight in found.x)
    return QueryWeights(nearness, words, alone, len(cases))
