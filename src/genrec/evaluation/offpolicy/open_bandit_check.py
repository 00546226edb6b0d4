"""The estimators on the Open Bandit logs, beside what the judged policies got themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from genrec.evaluation.offpolicy import open_bandit, support
from genrec.evaluation.offpolicy.judge import judged
from genrec.evaluation.tables import Table

SINGLE = ("ips", "snips", "doubly_robust")
"""Estimators of single actions; with one place the others are one of them."""
BTS, BTS_PRIOR, RANDOM = "bts, from random", "bts as it began, from random", "random, from bts"
_ROWS = {
    "random, served": "each item equally likely: the clicks it got itself",
    "bts, served": "Bernoulli Thompson sampling: the clicks it got itself",
    BTS: "bts with its shares of items at positions, from the log of random",
    BTS_PRIOR: "bts with the prior of its first day, from the log of random; it had learned away from it",
    RANDOM: "random, from the log of bts",
    "users": "rounds: the logs do not say who came back",
}


def evaluate_open_bandit(
    folder: Path, campaign: str = "all", *, clip: float | None = None, seed: int = 0
) -> dict[str, Any]:
    """Each policy of the Open Bandit logs from the log of the other, beside the clicks that it got itself.

    `bts` is judged twice: as it was (its shares in its own log, without the clicks) and as it began (its prior, from
    which it had learned away by then). `checks` says of all other estimates whether the value of the served policy lies
    in the interval.
    """
    logs = {policy: open_bandit.load(folder, policy, campaign) for policy in open_bandit.POLICIES}
    uniform, shares = open_bandit.uniform(logs["random"].n_items), logs["bts"].shares()
    parts = {
        "random": {
            BTS: logs["random"].rounds(shares, seed),
            BTS_PRIOR: logs["random"].rounds(open_bandit.thompson(folder, campaign), seed),
        },
        "bts": {RANDOM: logs["bts"].rounds(uniform, seed)},
    }
    results = {policy: judged(rounds, clip, seed, SINGLE, f"{policy}, served") for policy, rounds in parts.items()}
    systems: Table = {name: row for result in results.values() for name, row in result["systems"].items()}
    served = {BTS: "bts, served", RANDOM: "random, served"}
    checks = [_check(systems, name, served[name], estimator) for name in served for estimator in SINGLE]
    missed = [f"{c['system']}: {c['estimator']} misses the served value" for c in checks if not c["inside"]]
    return {
        **results["random"],
        "systems": systems,
        "diagnosis": {name: found for result in results.values() for name, found in result["diagnosis"].items()},
        "users": sum(len(log.item) for log in logs.values()),
        "split": "none: each row is a round of its own",
        "campaign": campaign,
        "clicks": {policy: int(log.click.sum()) for policy, log in logs.items()},
        "checks": checks,
        "unsupported": {BTS: support.unsupported(shares, uniform), RANDOM: support.unsupported(uniform, shares)},
        "definitions": {**results["random"]["definitions"], **_ROWS},
        "warnings": [*missed, *(word for result in results.values() for word in result["warnings"])],
    }


def _check(systems: Table, name: str, served: str, estimator: str) -> dict[str, Any]:
    interval, value = systems[name][f"{estimator}_ci"], systems[served][estimator]
    inside = interval is not None and interval[0] <= value <= interval[1]
    return {"system": name, "estimator": estimator, "served": value, "interval": interval, "inside": inside}
