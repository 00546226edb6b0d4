"""Two runs side by side, paired by user."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from genrec.errors import DataError, NotFoundError, SettingsError
from genrec.evaluation.runs import Run
from genrec.evaluation.tables import value_table
from genrec.evaluation.values import UserValues

_MUST_AGREE = {"fingerprint": "data", "split": "split", "requests": "requests"}
"""Key of a record, and what it stands for."""


def parse_pairs(texts: Sequence[str] | None) -> list[tuple[str, str]] | None:
    """Systems of the two runs from texts such as `covisit=fused`; SettingsError for others."""
    if not texts:
        return None
    pairs = [tuple(text.split("=")) for text in texts]
    if any(len(pair) != 2 for pair in pairs):
        raise SettingsError("a pair names a system of each run", "write --pair covisit=fused")
    return [(pair[0], pair[1]) for pair in pairs]


def compare_runs(
    first: Run, second: Run, pairs: Sequence[tuple[str, str]] | None = None, *, force: bool = False
) -> dict[str, Any]:
    """Differences second - first over the users of both, for `pairs` or else every system that both have.

    A pair is a system of the first run and one of the second. DataError if the runs are of different data or splits
    (unless `force`: then that is a warning), or have no user, metric or system in common.
    """
    warnings = [
        f"they are of different {said}" for key, said in _MUST_AGREE.items() if _fact(first, key) != _fact(second, key)
    ]
    if warnings and not force:
        raise DataError(
            f"{first.id} and {second.id} cannot be compared: {', '.join(warnings)}",
            "compare two runs of the same suite and data; --force compares them all the same",
        )
    before, after = UserValues.load(first.folder), UserValues.load(second.folder)
    users = sorted(set(before.user_ids) & set(after.user_ids))
    columns = [column for column in before.columns if column in after.columns]
    chosen = _known(before, after, pairs)
    for what, common in (("user", users), ("metric", columns), ("system", chosen)):
        if not common:
            raise DataError(f"{first.id} and {second.id} have no {what} in common", "compare runs of the same suite")
    left_out = len(before.user_ids) + len(after.user_ids) - 2 * len(users)
    if left_out:
        warnings.append(f"{left_out} users whom only one of the runs asked for are left out")
    return {
        "runs": [first.id, second.id],
        "users": len(users),
        "warnings": warnings,
        "comparisons": _compared(before.of_users(users), after.of_users(users), chosen, columns),
    }


def _fact(run: Run, key: str) -> Any:
    suite = run.record.get("suite", {})
    if key == "split":  # what its name stands for depends on the rest of it
        return suite.get(key) or {"name": run.record.get(key), "of": "temporal", "at_most": None}
    return run.record.get(key, suite.get(key))


def _known(before: UserValues, after: UserValues, pairs: Sequence[tuple[str, str]] | None) -> Sequence[tuple[str, str]]:
    if pairs is None:
        return [(name, name) for name in before.of_system if name in after.of_system]
    for old, new in pairs:
        for name, values, which in ((old, before, "first"), (new, after, "second")):
            if name not in values.of_system:
                there = ", ".join(values.of_system)
                raise NotFoundError(f"the {which} run has no system {name!r}", f"its systems: {there}")
    return pairs


def _compared(
    before: UserValues, after: UserValues, pairs: Sequence[tuple[str, str]], columns: Sequence[str]
) -> list[dict[str, Any]]:
    """A row for each metric and pair; p_holm is adjusted for all pairs in the metric."""
    places = [[values.columns.index(column) for column in columns] for values in (before, after)]
    values = {
        f"{side} {name}": of_system[:, place]
        for side, one, place in (("before", before, places[0]), ("after", after, places[1]))
        for name, of_system in one.of_system.items()
    }
    # What is not defined for any user of both is no finding, and not in the table.
    table = value_table(values, columns, [(f"after {new}", f"before {old}") for old, new in pairs])
    return [
        {
            **{"metric": column, "baseline": old, "system": new},
            **{"before": table[f"before {old}"][column], "after": table[f"after {new}"][column]},
            **table[f"after {new}"][f"{column}_vs_before {old}"],
        }
        for column in columns
        for old, new in pairs
        if f"{column}_vs_before {old}" in table[f"after {new}"]
    ]
