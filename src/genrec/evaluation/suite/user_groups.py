"""Groups of test users that a suite names itself, where the length of their history is not what sets them apart."""

from __future__ import annotations

from genrec.errors import DataError
from genrec.evaluation.suite.bench import EvaluationContext
from genrec.evaluation.suite.schema import Suite
from genrec.evaluation.suite.tsv import read_of_users

_HINT = "write tab-separated UTF-8 text whose first line is: user<TAB>group; without groups they go by history length"


def groups_of(suite: Suite, bench: EvaluationContext) -> tuple[list[str | None] | None, list[str]]:
    """The group of each test user [m] (None: in none), or None where the suite names no file; and what a reader must
    know. DataError with file and line for a file that cannot be read as declared.
    """
    if suite.groups is None:
        return None, []
    file = suite.folder / suite.groups
    named, train = read_of_users(file, "group", _HINT), bench.split.train
    found = [named.get(str(train.user_ids[user])) for user in bench.split.users]
    without = sum(group is None for group in found)
    if without == len(found):
        raise DataError(f"{file} has the group of no test user", _HINT)
    return found, [f"{file.name}: {without:,} of {len(found):,} test users are in no group there"] if without else []
