"""What all evaluations share: the test users of a split, and the warnings that belong to the figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from genrec.data.cold_splits import HeldOut, held_out
from genrec.data.interactions import Interactions
from genrec.data.splits import Split
from genrec.errors import DataError

LEAK = (
    "leave-one-out leaks across users: the training part has events of other users that are later than the event to be "
    "found. Use it to compare with papers, and the temporal split to predict what will happen."
)
FEW_USERS = 100


@dataclass(frozen=True, eq=False)
class Protocol:
    """A split, restricted to the users asked for, what may be fitted on, and what a reader of its figures must know."""

    split: Split
    held: HeldOut
    warnings: tuple[str, ...]


def prepare(
    interactions: Interactions,
    split: str,
    users: Sequence[str] | None = None,
    *,
    of: str = "temporal",
    at_most: int | None = None,
) -> Protocol:
    """Splits the log: see `held_out`. DataError if there is no such split, or no test user."""
    held = held_out(split, interactions, of=of, at_most=at_most)
    whole = held.split
    chosen = whole if users is None else whole.restrict(users)
    if not len(chosen.users):
        if users is not None and len(whole.users):
            raise DataError(
                f"none of the {len(set(users))} given users is one of the {len(whole.users)} test users of this split",
                "a test user has events to be found and earlier ones; look at the ids with: genrec data describe",
            )
        raise DataError(
            f"the {split} split of this log has no test users",
            "a test user needs events on both sides of the split; import more data or choose another --split",
        )
    warnings = [LEAK] if whole.leaks else []
    warnings += left_out(users, len(chosen.users))
    return Protocol(chosen, held, (*warnings, *few_users(len(chosen.users))))


def left_out(users: Sequence[str] | None, kept: int) -> list[str]:
    """A warning where of the users that were given (None: all) fewer are judged."""
    given = kept if users is None else len(set(users))
    return [f"{given - kept} of the {given} given users have nothing to be judged by; left out"] if given > kept else []


def sampled(split: Split, limit: int | None, seed: int) -> tuple[Split, list[str]]:
    """At most `limit` test users, drawn without replacement, in the order of the split; and what a reader must know."""
    whole = len(split.users)
    if limit is None or limit >= whole:
        return split, []
    rows = np.sort(np.random.default_rng(seed).choice(whole, limit, replace=False))
    chosen = replace(
        split, users=split.users[rows], targets=tuple(split.targets[row] for row in rows), now=split.now[rows]
    )
    return chosen, [f"a sample of {limit} of {whole} test users, drawn with seed {seed}", *few_users(limit)]


def few_users(n_users: int) -> list[str]:
    """A warning where there are so few users that luck decides."""
    if n_users >= FEW_USERS:
        return []
    return [f"only {n_users} test users: look at the intervals before you believe a difference"]


def short_lists(candidates: int, longest: int) -> list[str]:
    """A warning where metrics look at more places than there are candidates for served systems to rank."""
    if longest <= candidates:
        return []
    return [
        f"served systems rank {candidates} items and metrics look at {longest}: they stand beside lists that are "
        f"longer; with candidates: {longest} all are as long"
    ]


def read_users(file: Path) -> list[str]:
    """Ids of a file with one user id a line; empty lines are skipped. DataError if it cannot be read or has none."""
    try:
        text = file.read_text("utf-8-sig")
    except OSError as error:
        raise DataError(
            f"{file} cannot be read: {error.strerror}", "give a text file with one user id a line"
        ) from None
    except UnicodeDecodeError:
        raise DataError(f"{file} is not UTF-8 text", "give a text file with one user id a line, in UTF-8") from None
    users = [line.strip() for line in text.split("\n") if line.strip()]
    if not users:
        raise DataError(f"{file} has no user ids", "write one user id a line")
    return users
