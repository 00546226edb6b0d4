"""Exploration: lists drawn at random around a ranking, with the probabilities that a log must keep.

A ranking that is always shown as it is has probability 1, and its log can judge no other. These two draw lists of k out
of n candidates and know, without simulation, the probability of each item at its place (for `independent_ips` and
`doubly_robust`) and of the list down to each place (for the others). Both can show every list of the candidates.
The re-ranker draws with `plackett_luce` around the list that it is handed, and `odds_of` gives the probabilities of
what is left of it at the end; `genrec eval policy` reads what is logged.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from genrec.data.interactions import FloatArray
from genrec.reranking.base import Ranked, RerankContext

Order = npt.NDArray[np.int64]

DEEPEST = 50
"""So many of the best items, or as many as are asked for, can be shown by exploration: its odds cost k n^2."""

_STEP, _LEAST, _MOST = 0.25, -32.0, 4.0


@dataclass(frozen=True, eq=False)
class Drawn:
    """A list: positions of the candidates [k], P(item at its place) [k], and P(list down to the place) [k]."""

    order: Order
    place: FloatArray
    prefix: FloatArray


class ExplorationReranker:
    """Draws the whole list anew from a softmax of log P(click) / temperature, where the list is logged.

    The draw is around the order that the stages before handed on: the first place has the highest log P(click), the
    second the next, whichever items stand there. So it swaps items as far apart as P(click) says, and undoes no
    re-ranking. The seed is the request id: a logged list can be drawn again, and the next request draws anew.
    """

    name = "exploration"

    def rerank(self, ranked: Ranked, context: RerankContext) -> Ranked:
        """See Reranker. Only under `fuse`: the other policies show one order and no other."""
        temperature = context.settings.exploration.temperature
        if not temperature or context.policy != "fuse" or not context.is_logged or not ranked.items:
            return ranked
        reach = max(context.k, DEEPEST)
        far = {one.id: f"behind the {reach} best, of which exploration draws" for one in ranked.items[reach:]}
        near = ranked.without(far, self.name)
        p_click = np.array(sorted((one.p_click for one in near.items), reverse=True), dtype=np.float64)
        utilities = np.log(np.maximum(p_click, np.finfo(np.float64).tiny)) / temperature
        seed = int.from_bytes(hashlib.blake2b(context.request_id.encode(), digest_size=16).digest(), "big")
        order = drawn_order(utilities, np.random.default_rng(seed))
        drawn = near.reordered([near.items[place] for place in order.tolist()], "drawn at random")
        by_id = {one.id: float(utility) for one, utility in zip(near.items, utilities, strict=True)}
        return replace(drawn, utilities=by_id)


def odds_of(ranked: Ranked, k: int) -> Drawn | None:
    """The odds of the first k items of a list that was drawn, with what later stages dropped taken out; else None.

    Exact, because a Plackett-Luce order without some of its items is a Plackett-Luce order of the others (Luce's axiom
    of choice), as long as what is dropped does not depend on the draw.
    """
    if ranked.utilities is None:
        return None
    utilities = np.array([ranked.utilities[one.id] for one in ranked.items], dtype=np.float64)
    return _with_odds(utilities, np.arange(min(k, len(utilities))))


def plackett_luce(scores: npt.ArrayLike, k: int, temperature: float, generator: np.random.Generator) -> Drawn:
    """Draws one item after the other from a softmax of scores [n] / temperature over those that are left.

    Items with like scores swap often, others rarely. Sources: Luce, Individual choice behavior, 1959; Plackett, The
    analysis of permutations, 1975; drawn at once as the order of scores with Gumbel noise (Yellott, 1977).
    Probabilities are never 0, as a log must not say that what was shown could not be: the least is 2e-308.
    """
    utilities = np.asarray(scores, dtype=np.float64) / temperature
    return _with_odds(utilities, drawn_order(utilities, generator)[:k])


def drawn_order(utilities: FloatArray, generator: np.random.Generator) -> Order:
    """All positions [n], in an order drawn from the softmax of the utilities [n] over those that are left."""
    return np.argsort(-(utilities + generator.gumbel(size=len(utilities))), kind="stable")


def _with_odds(utilities: FloatArray, order: Order) -> Drawn:
    prefix = np.maximum(plackett_luce_prefixes(utilities, order), np.finfo(np.float64).tiny)
    place = plackett_luce_places(utilities, len(order))[order, np.arange(len(order))]
    # What is too small for the integral is at least as likely as the list that led to it.
    return Drawn(order, np.maximum(place, prefix), prefix)


def plackett_luce_prefixes(utilities: npt.ArrayLike, order: Order) -> FloatArray:
    """P(the list begins with order[:j + 1]) for each j [k]: the product of the softmax of each over those left."""
    values = np.asarray(utilities, dtype=np.float64)
    values = values - values.max(initial=-np.inf)
    rest = np.delete(values, order)
    left = np.concatenate([values[order], [np.logaddexp.reduce(rest)] if len(rest) else []])
    behind = np.logaddexp.accumulate(left[::-1])[::-1][: len(order)]
    prefixes: FloatArray = np.exp(np.cumsum(values[order] - behind))
    return prefixes


def plackett_luce_places(utilities: npt.ArrayLike, k: int) -> FloatArray:
    """P(item i at place j) [n, k].

    Items are the arrivals of independent exponential clocks with rates e^u, so item i is at place j if j others ring
    before it: the integral over its time of ring of a Poisson binomial probability. With t = e^x / rate the integrand
    e^(x - e^x) * P(j others before t) is smooth and dies at both ends, where the trapezoid rule is exact to about 1e-9.
    """
    values = np.asarray(utilities, dtype=np.float64)
    n = len(values)
    x = np.arange(_LEAST, _MOST, _STEP)
    with np.errstate(over="ignore"):
        rang = -np.expm1(-np.exp(values[None, :, None] - values[:, None, None] + x))  # [i, other, x]
    rang[np.arange(n), np.arange(n)] = 0.0
    before = np.zeros((n, k + 1, len(x)))
    before[:, 0] = 1.0
    for other in range(n):
        p = rang[:, None, other]
        before[:, 1:] = before[:, 1:] * (1 - p) + before[:, :-1] * p
        before[:, :1] *= 1 - p
    places: FloatArray = np.einsum("ijx,x->ij", before[:, :k], _STEP * np.exp(x - np.exp(x)))
    return np.clip(places, 0.0, 1.0)


def epsilon_greedy(n: int, k: int, epsilon: float, generator: np.random.Generator) -> Drawn:
    """The ranking 0, 1, ... n - 1 cut at k; with probability `epsilon` k of the n in any order, all equally likely."""
    k = min(k, n)
    explore = generator.random() < epsilon
    order = generator.permutation(n)[:k] if explore else np.arange(k)
    greedy = order == np.arange(k)
    by_chance = np.cumprod(1 / (n - np.arange(k)))
    return Drawn(
        order,
        (1 - epsilon) * greedy + epsilon / n,
        (1 - epsilon) * np.logical_and.accumulate(greedy) + epsilon * by_chance,
    )
