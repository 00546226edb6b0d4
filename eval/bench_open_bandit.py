"""Off-policy estimators on the Open Bandit logs: each policy from the log of the other, beside its own clicks.

    genrec data fetch open-bandit
    python eval/bench_open_bandit.py --campaign all --json - --html open-bandit.html

Saito, Aihara, Matsutani and Narita, Open Bandit Dataset and Pipeline, NeurIPS 2021 datasets and benchmarks. Each row is
one item shown at one of three positions. Items were drawn by one of two policies: `random`, each item equally likely,
and `bts`, Bernoulli Thompson sampling. The value of one, estimated from the log of the other, can be compared with the
clicks that it got itself. With 38 to 69 clicks in a log the check finds errors, and nothing finer.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as csv
import yaml

from genrec.artifacts import downloads
from genrec.artifacts.models import fetch
from genrec.data.interactions import FloatArray
from genrec.errors import DataError, GenrecError
from genrec.evaluation import runs
from genrec.evaluation.offpolicy.judge import judged
from genrec.evaluation.offpolicy.reward_model import Positions, cross_fitted
from genrec.evaluation.offpolicy.rounds import Rounds, importance
from genrec.evaluation.tables import Table
from genrec.reports.pages import page

CAMPAIGNS = ("all", "men", "women")
POLICIES = ("random", "bts")
N_POSITIONS = 3
SIMULATIONS = 100_000
_COLUMNS = ("item_id", "position", "click", "propensity_score")
_BLOCK = 10_000


@dataclass(frozen=True, eq=False)
class BanditLog:
    """n rounds of one policy: `item`, `position` (from 0), `click` and `propensity` [n] among `n_items` items."""

    item: Positions
    position: Positions
    click: FloatArray
    propensity: FloatArray
    n_items: int

    def shares(self) -> FloatArray:
        """How often each item was shown at each position [n_items, 3]; columns sum to 1.

        The mean over time of what a policy that kept on learning did: it needs no click.
        """
        counts = np.zeros((self.n_items, N_POSITIONS))
        np.add.at(counts, (self.item, self.position), 1.0)
        shares: FloatArray = counts / np.maximum(counts.sum(axis=0), 1.0)
        return shares

    def rounds(self, target: FloatArray, seed: int = 0) -> Rounds:
        """The log seen from a policy that shows item a at position k with probability target[a, k] [n_items, 3].

        Nothing in the log says who came back, so each round is its own owner.
        """
        weight = importance(target[self.item, self.position], self.propensity)[:, None]
        item, place, reward = self.item[:, None], self.position[:, None], self.click[:, None]
        owner = np.arange(len(self.item))
        predicted, expected = np.zeros_like(reward), np.zeros_like(reward)
        for rows, rates in cross_fitted(item, place, reward, owner, self.n_items, N_POSITIONS, seed):
            predicted[rows] = rates[item[rows], place[rows]]
            expected[rows] = (target * rates).sum(axis=0)[place[rows]]
        return Rounds(reward, owner, weight, weight, predicted, expected)


def load(folder: Path, policy: str, campaign: str) -> BanditLog:
    """The log of a policy in a campaign, from the folder of `genrec data fetch open-bandit`.

    DataError for unknown names and for files that are not as they should be.
    """
    _known(policy, POLICIES, "policy")
    _known(campaign, CAMPAIGNS, "campaign")
    columns = _read(folder / policy / campaign / f"{campaign}.csv")
    n_items = len(_priors(folder)[campaign]["alpha"])
    return BanditLog(
        columns["item_id"].astype(np.int64),
        columns["position"].astype(np.int64) - 1,
        columns["click"].astype(np.float64),
        columns["propensity_score"].astype(np.float64),
        n_items,
    )


def uniform(n_items: int) -> FloatArray:
    """What `random` does: each item equally likely at each position [n_items, 3]."""
    return np.full((n_items, N_POSITIONS), 1 / n_items)


def thompson(folder: Path, campaign: str, simulations: int = SIMULATIONS, seed: int = 0) -> FloatArray:
    """What `bts` did when the logs began: how often each item takes each position in simulations [n_items, 3].

    Draws a click rate for each item from its Beta prior, and shows the three largest (Chapelle and Li, An empirical
    evaluation of Thompson sampling, NIPS 2011). The policy went on learning, so its shares in the log differ.
    """
    _known(campaign, CAMPAIGNS, "campaign")
    prior = _priors(folder)[campaign]
    alpha, beta = np.array(prior["alpha"], dtype=np.float64), np.array(prior["beta"], dtype=np.float64)
    generator = np.random.default_rng(seed)
    counts = np.zeros((len(alpha), N_POSITIONS))
    for start in range(0, simulations, _BLOCK):
        drawn = generator.beta(alpha, beta, size=(min(_BLOCK, simulations - start), len(alpha)))
        best = np.argsort(-drawn, axis=1)[:, :N_POSITIONS]
        for position in range(N_POSITIONS):
            counts[:, position] += np.bincount(best[:, position], minlength=len(alpha))
    shares: FloatArray = counts / simulations
    return shares


def _read(file: Path) -> dict[str, Any]:
    try:
        table = csv.read_csv(file, convert_options=csv.ConvertOptions(include_columns=list(_COLUMNS)))
    except (OSError, pa.ArrowInvalid, KeyError) as error:
        raise _broken(file) from error
    columns = {name: table[name].to_numpy() for name in _COLUMNS}
    if not len(table) or any(column.dtype == object for column in columns.values()):
        raise _broken(file)
    return columns


def _priors(folder: Path) -> dict[str, Any]:
    file = folder / "prior_bts.yaml"
    try:
        return dict(yaml.safe_load(file.read_text("utf-8")))
    except (OSError, ValueError, TypeError, yaml.YAMLError) as error:
        raise _broken(file) from error


def _known(name: str, names: tuple[str, ...], what: str) -> None:
    if name not in names:
        raise DataError(f"the Open Bandit logs have no {what} {name!r}", f"choose one of: {', '.join(names)}")


def _broken(file: Path) -> GenrecError:
    return DataError(f"{file} is no readable file of the Open Bandit logs", "fetch them: genrec data fetch open-bandit")


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
    logs = {policy: load(folder, policy, campaign) for policy in POLICIES}
    even, shares = uniform(logs["random"].n_items), logs["bts"].shares()
    parts = {
        "random": {
            BTS: logs["random"].rounds(shares, seed),
            BTS_PRIOR: logs["random"].rounds(thompson(folder, campaign), seed),
        },
        "bts": {RANDOM: logs["bts"].rounds(even, seed)},
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
        "unsupported": {BTS: unsupported(shares, even), RANDOM: unsupported(even, shares)},
        "definitions": {**results["random"]["definitions"], **_ROWS},
        "warnings": [*missed, *(word for result in results.values() for word in result["warnings"])],
    }


def unsupported(target: Any, logging: Any) -> float:
    """Share of what the new policy shows that the logging policy never does; both [items, places] of probabilities."""
    new, old = np.asarray(target, dtype=np.float64), np.asarray(logging, dtype=np.float64)
    return float(new[old <= 0].sum() / new.sum())


def _check(systems: Table, name: str, served: str, estimator: str) -> dict[str, Any]:
    interval, value = systems[name][f"{estimator}_ci"], systems[served][estimator]
    inside = interval is not None and interval[0] <= value <= interval[1]
    return {"system": name, "estimator": estimator, "served": value, "interval": interval, "inside": inside}


def main() -> None:
    """Writes what was found as JSON, and as a page if asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--campaign", default="all", choices=CAMPAIGNS)
    parser.add_argument("--clip", type=float, help="cut importance weights at this size")
    parser.add_argument("--seed", type=int, default=0, help="seed of resampling and folds")
    parser.add_argument("--json", default="-", help="file; '-' is stdout")
    parser.add_argument("--html", type=Path, help="write a page here")
    options = parser.parse_args()
    logs = fetch("open-bandit")
    found = evaluate_open_bandit(logs, options.campaign, clip=options.clip, seed=options.seed)
    source = json.loads((logs / downloads.MARKER).read_text("utf-8"))["source"]
    recorded = {**runs.stamped("policy", found), "fingerprint": source}
    text = json.dumps(recorded, indent=2, ensure_ascii=False)
    if options.json == "-":
        print(text)
    else:
        Path(options.json).write_text(text + "\n", "utf-8")
    if options.html is not None:
        options.html.write_text(page(recorded), "utf-8")


if __name__ == "__main__":
    main()
