"""Policies as rows, estimators as columns, and what to think of the weights: the common part of off-policy results.

Intervals come from a bootstrap that draws all lists of a user together, the same users for all policies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from genrec.errors import SettingsError
from genrec.evaluation.offpolicy import support
from genrec.evaluation.offpolicy.base import ESTIMATORS, lacking, resample, usable
from genrec.evaluation.offpolicy.rounds import Rounds
from genrec.evaluation.tables import Measured, Table, table_of

LOGGED = "logged"
"""The row of the policy that made the log: the mean clicks on a list, which every estimator finds."""


def judged(
    policies: Mapping[str, Rounds],
    clip: float | None,
    seed: int,
    names: Sequence[str] = (),
    logged: str = LOGGED,
) -> dict[str, Any]:
    """`systems`, `diagnosis`, `clip`, `warnings`, `headline` and `definitions` for policies seen from the same log.

    `names` are estimators, by name or dotted path, by default all that are usable; `clip` cuts the weights, after their
    diagnosis. NotFoundError for an unknown estimator; SettingsError for one whose needs the log does not meet, and for
    a `clip` that is not above 0.
    """
    first = next(iter(policies.values()))
    for name in names:
        if missing := lacking(name, first):
            raise SettingsError(
                f"the estimator {name} needs {', '.join(missing)}, which this log does not give",
                f"these can judge it: {', '.join(usable(first))}",
            )
    if clip is not None and not clip > 0:
        raise SettingsError(f"weights cannot be clipped at {clip}", "give a number above 0, for example 10")
    columns = list(dict.fromkeys(names)) or usable(first)
    diagnosis = {name: support.diagnose(rounds, seed) for name, rounds in policies.items()}
    cut = policies if clip is None else {name: rounds.clipped(clip) for name, rounds in policies.items()}
    return {
        "systems": policy_table(cut, columns, logged=logged, seed=seed),
        "diagnosis": diagnosis,
        "clip": clip,
        "warnings": [word for name, found in diagnosis.items() for word in support.reservations(name, found)],
        "headline": columns,
        "definitions": {
            **{name: ESTIMATORS.find(name).DEFINITION for name in columns},
            logged: "the policy that made the log: the mean of what it got itself",
        },
    }


def policy_table(policies: Mapping[str, Rounds], names: Sequence[str], *, logged: str = LOGGED, seed: int = 0) -> Table:
    """Estimators as columns, policies as rows, all judged on the same lists; the logging policy first.

    Each policy has `<estimator>_vs_<logged>`, paired. An estimate that is not defined is None.
    """
    first = next(iter(policies.values()))
    every = {logged: first.as_logged(), **policies}
    terms = {policy: [ESTIMATORS.find(name).terms(rounds) for name in names] for policy, rounds in every.items()}
    drawn = iter(resample([one for found in terms.values() for one in found], first.owner, seed))
    measured = {
        policy: Measured(np.array([one.estimate() for one in found]), np.column_stack([next(drawn) for _ in found]))
        for policy, found in terms.items()
    }
    compared = {(policy, logged): measured[policy].minus(measured[logged]) for policy in policies}
    return table_of(measured, compared, names)
