"""Values of policies with intervals: a bootstrap that draws all lists of a user together, the same for all policies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from genrec.data.interactions import FloatArray
from genrec.evaluation import significance
from genrec.evaluation.offpolicy import estimators
from genrec.evaluation.offpolicy.estimators import Terms
from genrec.evaluation.offpolicy.rounds import Owners, Rounds
from genrec.evaluation.tables import Table, as_json

LOGGED = "logged"
"""The row of the policy that made the log: the mean clicks on a list, which every estimator finds."""
_DIGITS = 6


def estimate(terms: Terms) -> float:
    """Sum over columns of mean numerator over mean denominator; NaN where all weights of a column are 0."""
    return float(_ratios(terms.numerator.sum(axis=0), terms.denominator.sum(axis=0)))


def policy_table(policies: Mapping[str, Rounds], names: Sequence[str], *, logged: str = LOGGED, seed: int = 0) -> Table:
    """Estimators as columns, policies as rows, all judged on the same lists; the logging policy first.

    Each policy has `<estimator>_vs_<logged>`, paired. An estimate that is not defined is None.
    """
    first = next(iter(policies.values()))
    every = {logged: first.as_logged(), **policies}
    found = {(policy, name): estimators.terms(name, rounds) for policy, rounds in every.items() for name in names}
    resampled = dict(zip(found, resample(list(found.values()), first.owner, seed), strict=True))
    table: Table = {policy: {} for policy in every}
    for (policy, name), terms in found.items():
        row, value, draws = table[policy], estimate(terms), resampled[policy, name]
        row[name], row[f"{name}_ci"] = None, None
        if not np.isfinite(value):
            continue
        low, high = significance.interval(draws[np.isfinite(draws), None])
        row[name] = round(value, _DIGITS)
        row[f"{name}_ci"] = [round(float(low[0]), _DIGITS), round(float(high[0]), _DIGITS)]
        if policy != logged:
            deltas = draws - resampled[logged, name]
            gain = value - estimate(found[logged, name])
            row[f"{name}_vs_{logged}"] = as_json(significance.difference(gain, deltas[np.isfinite(deltas)]))
    return table


def resample(terms: Sequence[Terms], owner: Owners, seed: int = 0) -> list[FloatArray]:
    """Bootstrapped values [resamples] of each estimate over the same n rounds; NaN where a resample has no weight."""
    stacked = np.concatenate([part for term in terms for part in (term.numerator, term.denominator)], axis=1)
    sums = np.zeros((int(owner.max()) + 1, stacked.shape[1]))
    np.add.at(sums, owner, stacked)
    drawn = np.concatenate([weights @ sums for weights in significance.user_weights(len(sums), seed=seed)])
    widths = [term.numerator.shape[1] for term in terms for _ in range(2)]
    parts = np.split(drawn, np.cumsum(widths)[:-1], axis=1)
    return [_ratios(*pair) for pair in zip(parts[::2], parts[1::2], strict=True)]


def _ratios(numerator: FloatArray, denominator: FloatArray) -> FloatArray:
    shares = np.divide(numerator, denominator, out=np.full_like(numerator, np.nan), where=denominator > 0)
    total: FloatArray = shares.sum(axis=-1)
    return total
