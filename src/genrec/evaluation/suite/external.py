"""Ranked lists of other tools, so that they are judged by the same measures on the same users."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from genrec.data.interactions import IntArray
from genrec.data.splits import Split
from genrec.errors import DataError
from genrec.evaluation.suite.tsv import ITEM, USER, read_rows

_HINT = "write tab-separated UTF-8 text whose first line is: user<TAB>item<TAB>rank (or score)"


@dataclass(frozen=True, eq=False)
class Lists:
    """Item ids of each user, best first."""

    file: Path
    of_user: dict[str, list[str]]


def read_lists(file: Path) -> Lists:
    """Reads a TSV with the columns user, item, and rank (1 is best) or score (the highest is best).

    Equal scores keep the order of the file. DataError with file and line for what cannot be read as declared.
    """
    keys: dict[str, dict[str, float]] = {}
    ranks: set[tuple[str, float]] = set()

    def problem(header: list[str], cells: list[str]) -> str | None:
        user, item, text = cells
        if not user or not item:
            return "user and item must not be empty"
        by_rank = header[2] == "rank"
        key = _rank(text) if by_rank else _score(text)
        if key is None:
            return "the rank must be a whole number from 1" if by_rank else "the score must be a number"
        if item in keys.get(user, ()):
            return "this item stands in the user's list already"
        if by_rank and (user, key) in ranks:
            return "this rank is taken already"
        ranks.add((user, key))
        keys.setdefault(user, {})[item] = key
        return None

    read_rows(file, (USER, ITEM, ("rank", "score")), _HINT, problem)
    if not keys:
        raise DataError(f"{file} has no ranked items", _HINT)
    return Lists(file, {user: sorted(items, key=items.__getitem__) for user, items in keys.items()})


def _rank(text: str) -> float | None:
    return float(text) if text.isascii() and text.isdigit() and int(text) else None


def _score(text: str) -> float | None:
    """What to sort by, upwards."""
    try:
        score = float(text)
    except ValueError:
        return None
    return -score if math.isfinite(score) else None


def ranked_by(lists: Lists, split: Split, k: int) -> tuple[IntArray, list[str]]:
    """Item positions [m, k] for the users of the split, padded with -1, and what a reader must know about them.

    Items that the catalogue does not know or that the user has seen are left out, as from every other system.
    """
    index = {str(item_id): place for place, item_id in enumerate(split.train.item_ids)}
    ranked = np.full((len(split.users), k), -1, dtype=np.int32)
    without = unknown = seen_items = 0
    for row, user in enumerate(split.users):
        given = lists.of_user.get(str(split.train.user_ids[user]))
        if given is None:
            without += 1
            continue
        places = [index[item] for item in given if item in index]
        unknown += len(given) - len(places)
        seen = set(split.train.item[split.train.rows_of(int(user))].tolist())
        new = [place for place in places if place not in seen]
        seen_items += len(places) - len(new)
        ranked[row, : min(k, len(new))] = new[:k]
    strangers = len(set(lists.of_user) - {str(user) for user in split.train.user_ids[split.users]})
    counted = (
        (without, "test users have no list there and count 0"),
        (unknown, "listed items are not in the catalogue; left out"),
        (seen_items, "listed items the user has seen already; left out"),
        (strangers, "users with a list are no test users here; ignored"),
    )
    return ranked, [f"{lists.file.name}: {count:,} {what}" for count, what in counted if count]
