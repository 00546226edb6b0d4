"""The arms of an experiment compared on what users clicked in the lists that they were shown.

Users are the unit, as they were split. A comparison is only worth reading if the split is what it should be, so that is
tested first: Fabijan et al., Diagnosing sample ratio mismatch in online controlled experiments, KDD 2019.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import chisquare

from genrec.data.store import Exposure, Store
from genrec.domain import Assignment, TemplateRef
from genrec.errors import DataError, NotFoundError
from genrec.evaluation import significance
from genrec.evaluation.lists import Lists, Values
from genrec.evaluation.metrics import ndcg
from genrec.evaluation.tables import Measured, Table, table_of
from genrec.evaluation.verdicts import verdicts
from genrec.settings import ScoringSettings

MISMATCH = 0.001
"""A split is called wrong where chance alone would make one as far off more rarely than this."""
LEAST_EXPECTED = 5
"""Users that each arm must be expected to have for the test of the split to hold (Cochran, Biometrics 10, 1954)."""
PLACES = 10
COLUMNS = ("ctr", "clicks per user", f"ndcg@{PLACES} of clicks")
DEFINITIONS = {
    COLUMNS[0]: "clicks / items shown, over all lists of an arm",
    COLUMNS[1]: "clicks in the lists of an arm / users who were shown one",
    COLUMNS[2]: "nDCG of a list with its clicked items as relevant, 0 without any; averaged over a user's lists, then "
    "over users",
    "sample ratio mismatch": f"chi-squared test of the numbers of users against the weights; p below {MISMATCH}",
}


@dataclass(frozen=True, slots=True)
class Shown:
    """A list of an experiment: who saw it, in which arm, how many items it had, and which places were clicked."""

    user_id: str
    assignment: Assignment
    template: TemplateRef | None
    items: int
    clicked: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Arm:
    """Users of an arm: values [m, 3] of clicks, items shown, and mean nDCG of the clicks in their lists."""

    name: str
    values: Values
    templates: Counter[TemplateRef | None]


def experiment_report(
    store: Store, name: str | None = None, seed: int = 0, liked: float = ScoringSettings().liked
) -> dict[str, Any]:
    """Compares the arms of an experiment (the only one of the log if none is named) with the first one; JSON-ready.

    Lists count that were shown under the weights under which most were: a change of weights moves users. Each arm is
    resampled by its users. A rating is a click from `liked` on. NotFoundError without such an experiment, DataError if
    only one arm was to be shown.
    """
    chosen, lists = _of_experiment(store, name, liked)
    lists, shares, warnings = _of_one_split(chosen, lists)
    arms, said = _arms(lists, shares)
    users = {arm.name: len(arm.values) for arm in arms}
    mismatch = split_test(users, shares)
    table = _table(arms, seed)
    pairs = [(arm.name, arms[0].name) for arm in arms[1:]]
    return {
        "kind": "experiment",
        "description": f"the arms of {chosen} on what users clicked; {arms[0].name} is the control",
        "experiment": chosen,
        "users": sum(users.values()),
        "lists": len(lists),
        "shares": shares,
        "split": mismatch,
        "systems": table,
        "verdicts": verdicts(table, pairs, COLUMNS, dict.fromkeys(COLUMNS, "higher")),
        "headline": list(COLUMNS[:2]),
        "warnings": [*_mismatch_warning(mismatch), *warnings, *said],
        "definitions": DEFINITIONS,
        "templates": [_template(arm.name, ref, count) for arm in arms for ref, count in arm.templates.items()],
    }


def split_test(users: Mapping[str, int], shares: Mapping[str, float]) -> dict[str, Any]:
    """Whether the arms have the users that their shares promise: observed, expected, p, and `ok` (None: too few)."""
    total = sum(users.values())
    expected = {arm: total * share for arm, share in shares.items()}
    found: dict[str, Any] = {
        "observed": dict(users),
        "expected": {arm: round(count, 1) for arm, count in expected.items()},
        "p": None,
        "ok": None,
    }
    if min(expected.values()) >= LEAST_EXPECTED:
        p = float(chisquare([users[arm] for arm in shares], list(expected.values())).pvalue)
        found |= {"p": p, "ok": p >= MISMATCH}
    return found


def _of_experiment(store: Store, name: str | None, liked: float) -> tuple[str, list[Shown]]:
    by_name: dict[str, list[Shown]] = defaultdict(list)
    clicked = store.clicked(liked)
    for exposure in store.exposures():
        if exposure.assignment is not None and exposure.user_id is not None:
            items = clicked.get(exposure.request_id, frozenset())
            by_name[exposure.assignment.experiment].append(_shown(exposure, exposure.assignment, items))
    there = ", ".join(sorted(by_name))
    if name is None and len(by_name) == 1:
        name = next(iter(by_name))
    if name is None or name not in by_name:
        problem = "no list of an experiment was shown yet" if not by_name else "name one of the experiments"
        if name is not None:
            problem = f"no list of an experiment {name!r} was shown"
        raise NotFoundError(problem, f"in the log are: {there}" if there else "genrec prompt experiment start --help")
    return name, by_name[name]


def _shown(exposure: Exposure, assignment: Assignment, clicked: frozenset[str]) -> Shown:
    template = None
    if exposure.template_id is not None:
        template = TemplateRef(exposure.template_id, exposure.template_version or 0, exposure.template_hash or "")
    places = tuple(place for place, item in enumerate(exposure.item_ids) if item in clicked)
    return Shown(str(exposure.user_id), assignment, template, len(exposure.item_ids), places)


def _of_one_split(name: str, lists: Sequence[Shown]) -> tuple[list[Shown], dict[str, float], list[str]]:
    """The lists under the weights with the most of them, the shares of arms that have any, and what was left out."""

    def split(one: Shown) -> tuple[tuple[str, float], ...]:
        return tuple((arm, share) for arm, share in one.assignment.shares.items() if share)

    counts = Counter(split(one) for one in lists)
    tested = [shares for shares, _ in counts.most_common() if len(shares) > 1]
    if not tested:
        raise DataError(
            f"the experiment {name!r} has shown one arm only", "give another arm a weight: genrec prompt experiment"
        )
    kept = [one for one in lists if split(one) == tested[0]]
    others = len(lists) - len(kept)
    said = [f"{others} of {len(lists)} lists were shown under other weights and are left out"] if others else []
    return kept, dict(tested[0]), said


def _arms(lists: Sequence[Shown], shares: Mapping[str, float]) -> tuple[list[Arm], list[str]]:
    of_user: dict[str, list[Shown]] = defaultdict(list)
    for one in lists:
        of_user[one.user_id].append(one)
    values: dict[str, list[list[float]]] = {arm: [] for arm in shares}
    templates: dict[str, Counter[TemplateRef | None]] = {arm: Counter() for arm in shares}
    crossed = 0
    for seen in of_user.values():
        arms = {one.assignment.arm for one in seen}
        if len(arms) > 1:
            crossed += 1
            continue
        values[seen[0].assignment.arm].append(
            [sum(len(one.clicked) for one in seen), sum(one.items for one in seen), _gain(seen)]
        )
        templates[seen[0].assignment.arm].update(one.template for one in seen)
    said = [f"{crossed} users saw lists of several arms and are left out"] if crossed else []
    said += [f"the template of {arm} changed while it was shown" for arm, refs in templates.items() if len(refs) > 1]
    return [Arm(arm, np.array(rows, float).reshape(-1, 3), templates[arm]) for arm, rows in values.items()], said


def _gain(seen: Sequence[Shown]) -> float:
    ranked = np.array([range(max(PLACES, *(one.items for one in seen)))] * len(seen), dtype=np.int32)
    clicked = [np.array(one.clicked, np.int32) for one in seen]
    return float(ndcg.per_user(Lists(ranked, clicked, PLACES)).mean())


def _table(arms: Sequence[Arm], seed: int) -> Table:
    """In the form of `genrec.evaluation.tables`, with differences to the first arm; each arm is resampled alone."""
    measured = {arm.name: _measured(arm.values, seed + place) for place, arm in enumerate(arms)}
    control, users = arms[0], {arm.name: len(arm.values) for arm in arms}
    compared = {
        (arm.name, control.name): measured[arm.name].minus(
            measured[control.name], users=users[arm.name] + users[control.name]
        )
        for arm in arms[1:]
    }
    return table_of(measured, compared, COLUMNS)


def _measured(values: Values, seed: int) -> Measured:
    """The columns of an arm."""
    if not len(values):
        return Measured(np.full(3, np.nan), np.full((significance.RESAMPLES, 3), np.nan))
    draws = np.vstack([values.mean(axis=0), significance.bootstrap_means(values, seed=seed)])
    columns = np.column_stack([draws[:, 0] / np.maximum(draws[:, 1], 1e-12), draws[:, 0], draws[:, 2]])
    return Measured(columns[0], columns[1:])


def _mismatch_warning(found: Mapping[str, Any]) -> list[str]:
    if found["ok"] is None:
        return ["too few users to tell whether they were split as the weights say"]
    if found["ok"]:
        return []
    counts = ", ".join(f"{arm} {n} of {found['expected'][arm]:g} expected" for arm, n in found["observed"].items())
    return [
        f"sample ratio mismatch (p = {found['p']:.1g}): {counts}. Something decides who is shown which arm besides "
        "chance (errors or delays of an arm, a salt that changed, lost logs): do not believe any difference below"
    ]


def _template(arm: str, ref: TemplateRef | None, lists: int) -> dict[str, Any]:
    facts = {"id": None, "version": None, "hash": None} if ref is None else {
        "id": ref.id, "version": ref.version, "hash": ref.hash,
    }  # fmt: skip
    return {"name": arm, **facts, "lists": lists}
