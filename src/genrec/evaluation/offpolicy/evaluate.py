"""Off-policy evaluation as a result: policies as rows, estimators as columns, and what to think of the weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from genrec.data.store import Store
from genrec.encoder import Encoder, Progress
from genrec.errors import SettingsError
from genrec.evaluation.offpolicy import estimators, open_bandit, support
from genrec.evaluation.offpolicy.exposures import LoggedLists, logged_lists
from genrec.evaluation.offpolicy.intervals import LOGGED, policy_table
from genrec.evaluation.offpolicy.policies import SYSTEMS, answers, fitted_before, given, policies_of
from genrec.evaluation.offpolicy.rounds import Rounds
from genrec.evaluation.protocol import few_users
from genrec.evaluation.suite.external import Lists
from genrec.evaluation.tables import Table
from genrec.settings import Settings

SINGLE = ("ips", "snips", "doubly_robust")
"""Estimators of single actions; with one place the others are one of them."""
MANY_LEFT_OUT = 0.05
BTS, BTS_PRIOR, RANDOM = "bts, from random", "bts as it began, from random", "random, from bts"
_ROWS = {
    "random, served": "each item equally likely: the clicks it got itself",
    "bts, served": "Bernoulli Thompson sampling: the clicks it got itself",
    BTS: "bts with its shares of items at positions, from the log of random",
    BTS_PRIOR: "bts with the prior of its first day, from the log of random; it had learned away from it",
    RANDOM: "random, from the log of bts",
    "users": "rounds: the logs do not say who came back",
}


def evaluate_policies(
    store: Store,
    settings: Settings,
    split: str = "temporal",
    users: Sequence[str] | None = None,
    *,
    policies: Sequence[str] = tuple(SYSTEMS),
    lists: Sequence[Lists] = (),
    clip: float | None = None,
    seed: int = 0,
    encoder: Encoder | None = None,
    cache_folder: Path,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """The clicks on a list that each policy would have had, from the exposures of a workspace with propensities.

    `policies` are names (see `policies.SYSTEMS`), `lists` those of other tools; `clip` cuts importance weights. Raises
    DataError where the log has no exploration, NotFoundError for unknown names.
    """
    _positive(clip)
    log = logged_lists(store, users)
    shown: dict[str, list[list[str]]] = {}
    record: dict[str, Any] = {}
    if policies:
        fitted = fitted_before(
            log, store, settings, split, encoder=encoder, cache_folder=cache_folder, progress=progress
        )
        record = fitted.record
        shown |= answers(log, store, policies_of(fitted, store, settings, policies), progress)
    shown |= {other.file.stem: given(log, other) for other in lists}
    catalogue = [item.id for item in store.all_items()]
    rounds = {name: log.rounds(ids, catalogue, seed) for name, ids in shown.items()}
    named = {name: SYSTEMS.get(name, "the best items of this retriever alone") for name in policies}
    named |= {other.file.stem: f"the lists of {other.file.name}" for other in lists}
    result = _judged(rounds, clip, seed)
    n_users = int(log.owner.max()) + 1
    return {
        **result,
        "users": n_users,
        "lists": len(log.exposures),
        "clicks": int(log.reward.sum()),
        "split": split,
        "warnings": [*few_users(n_users), *_left_out(log), *result["warnings"]],
        "definitions": {**result["definitions"], **named},
        "fitted": record,
    }


def evaluate_open_bandit(
    folder: Path, campaign: str = "all", *, clip: float | None = None, seed: int = 0
) -> dict[str, Any]:
    """Each policy of the Open Bandit logs from the log of the other, beside the clicks that it got itself.

    `bts` is judged twice: as it was (its shares in its own log, without the clicks) and as it began (its prior, from
    which it had learned away by then). `checks` says of all other estimates whether the value of the served policy lies
    in the interval.
    """
    _positive(clip)
    logs = {policy: open_bandit.load(folder, policy, campaign) for policy in open_bandit.POLICIES}
    uniform, shares = open_bandit.uniform(logs["random"].n_items), logs["bts"].shares()
    parts = {
        "random": {
            BTS: logs["random"].rounds(shares, seed),
            BTS_PRIOR: logs["random"].rounds(open_bandit.thompson(folder, campaign), seed),
        },
        "bts": {RANDOM: logs["bts"].rounds(uniform, seed)},
    }
    judged = {policy: _judged(rounds, clip, seed, SINGLE, f"{policy}, served") for policy, rounds in parts.items()}
    systems: Table = {name: row for result in judged.values() for name, row in result["systems"].items()}
    served = {BTS: "bts, served", RANDOM: "random, served"}
    checks = [_check(systems, name, served[name], estimator) for name in served for estimator in SINGLE]
    missed = [f"{c['system']}: {c['estimator']} misses the served value" for c in checks if not c["inside"]]
    return {
        **judged["random"],
        "systems": systems,
        "diagnosis": {name: found for result in judged.values() for name, found in result["diagnosis"].items()},
        "users": sum(len(log.item) for log in logs.values()),
        "split": "none: each row is a round of its own",
        "campaign": campaign,
        "clicks": {policy: int(log.click.sum()) for policy, log in logs.items()},
        "checks": checks,
        "unsupported": {BTS: support.unsupported(shares, uniform), RANDOM: support.unsupported(uniform, shares)},
        "definitions": {**judged["random"]["definitions"], **_ROWS},
        "warnings": [*missed, *(word for result in judged.values() for word in result["warnings"])],
    }


def _judged(
    policies: Mapping[str, Rounds],
    clip: float | None,
    seed: int,
    names: Sequence[str] = (),
    logged: str = LOGGED,
) -> dict[str, Any]:
    """Table and headline, with what the weights say before they are clipped."""
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


def _check(systems: Table, name: str, served: str, estimator: str) -> dict[str, Any]:
    interval, value = systems[name][f"{estimator}_ci"], systems[served][estimator]
    inside = interval is not None and interval[0] <= value <= interval[1]
    return {"system": name, "estimator": estimator, "served": value, "interval": interval, "inside": inside}


def _left_out(log: LoggedLists) -> list[str]:
    every = len(log.exposures) + log.left_out
    if log.left_out <= MANY_LEFT_OUT * every:
        return []
    return [f"{log.left_out} of {every} logged lists have no user or no propensities and are left out"]


def _positive(clip: float | None) -> None:
    if clip is not None and not clip > 0:
        raise SettingsError(f"weights cannot be clipped at {clip}", "give a number above 0, for example 10")
