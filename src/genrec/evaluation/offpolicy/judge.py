"""Policies as rows, estimators as columns, and what to think of the weights: the common part of all results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from genrec.errors import SettingsError
from genrec.evaluation.offpolicy import estimators, support
from genrec.evaluation.offpolicy.intervals import LOGGED, policy_table
from genrec.evaluation.offpolicy.rounds import Rounds


def judged(
    policies: Mapping[str, Rounds],
    clip: float | None,
    seed: int,
    names: Sequence[str] = (),
    logged: str = LOGGED,
) -> dict[str, Any]:
    """`systems`, `diagnosis`, `clip`, `warnings`, `headline` and `definitions` for policies seen from the same log.

    `names` are estimators, by default all that are usable; `clip` cuts the weights, after their diagnosis; it must be
    above 0 (SettingsError).
    """
    if clip is not None and not clip > 0:
        raise SettingsError(f"weights cannot be clipped at {clip}", "give a number above 0, for example 10")
    columns = list(names) or estimators.usable(next(iter(policies.values())))
    diagnosis = {name: support.diagnose(rounds, seed) for name, rounds in policies.items()}
    cut = policies if clip is None else {name: rounds.clipped(clip) for name, rounds in policies.items()}
    return {
        "systems": policy_table(cut, columns, logged=logged, seed=seed),
        "diagnosis": diagnosis,
        "clip": clip,
        "warnings": [word for name, found in diagnosis.items() for word in support.reservations(name, found)],
        "headline": columns,
        "definitions": {
            **{name: estimators.estimator(name).DEFINITION for name in columns},
            logged: "the policy that made the log: the mean of what it got itself",
        },
    }
