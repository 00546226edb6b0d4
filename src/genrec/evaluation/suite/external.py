"""Ranked lists of other tools, so that they are judged by the same measures on the same users."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from genrec.data.interactions import IntArray
from genrec.data.sources.base import BadRows
from genrec.data.splits import Split
from genrec.errors import DataError
from genrec.evaluation.suite.tsv import read_lines

_HINT = "write tab-separated UTF-8 text whose first line is: user<TAB>item<TAB>rank (or score)"
_USER, _ITEM = ("user", "user_id"), ("item", "item_id")


@dataclass(frozen=True, eq=False)
class Lists:
    """Item ids of each user, best first."""

    file: Path
    of_user: dict[str, list[str]]


def read_lists(file: Path) -> Lists:
    """Reads a TSV with the columns user, item, and rank (1 is best) or score (the highest is best).

    Equal scores keep the order of the file. DataError with file and line for what cannot be read as declared.
    """
    lines = read_lines(file, _HINT)
    bad = BadRows()
    keys: dict[str, dict[str, float]] = {}
    for user, item, key in _rows(file, lines, bad):
        keys.setdefault(user, {})[item] = key
    if bad.count:
        raise DataError(f"{file} has {bad.describe()}", _HINT)
    if not keys:
        raise DataError(f"{file} has no ranked items", _HINT)
    return Lists(file, {user: sorted(items, key=items.__getitem__) for user, items in keys.items()})


def _rows(file: Path, lines: Sequence[str], bad: BadRows) -> Iterator[tuple[str, str, float]]:
    """User, item, and what to sort by, upwards."""
    header = lines[0].split("\t") if lines else []
    if len(header) != 3 or header[0] not in _USER or header[1] not in _ITEM or header[2] not in ("rank", "score"):
        raise DataError(f"{file}, line 1: the header must name user, item, and rank or score", _HINT)
    by_rank = header[2] == "rank"
    seen: set[tuple[str, str]] = set()
    ranks: set[tuple[str, float]] = set()
    for number, line in enumerate(lines[1:], start=2):
        if not line:
            continue
        cells = line.split("\t")
        problem, key = _key(cells, by_rank)
        user, item = [*cells, "", ""][:2]
        if problem is None and (user, item) in seen:
            problem = "this item stands in the user's list already"
        if problem is None and by_rank and (user, key) in ranks:
            problem = "this rank is taken already"
        if problem is not None:
            bad.add(f"{file.name}, line {number}", problem)
            continue
        seen.add((user, item))
        ranks.add((user, key))
        yield user, item, key


def _key(cells: Sequence[str], by_rank: bool) -> tuple[str | None, float]:
    if len(cells) != 3:
        return f"3 columns expected, {len(cells)} found", 0.0
    if not cells[0] or not cells[1]:
        return "user and item must not be empty", 0.0
    if by_rank:
        return (
            (None, float(cells[2]))
            if cells[2].isascii() and cells[2].isdigit() and int(cells[2])
            else (
                "the rank must be a whole number from 1",
                0.0,
            )
        )
    try:
        score = float(cells[2])
    except ValueError:
        score = math.nan
    return (None, -score) if math.isfinite(score) else ("the score must be a number", 0.0)


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
