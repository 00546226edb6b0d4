"""Requests in words (of a file, or simulated from what is to be found) and groups of the test users of a suite."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from genrec.errors import DataError
from genrec.evaluation.suite.context import EvaluationContext
from genrec.evaluation.suite.schema import Suite
from genrec.evaluation.suite.tsv import read_of_users
from genrec.fitting.simulated_queries import QuerySimulator
from genrec.ranking.loading import template_of

WARNING = (
    "requests are simulated: each holds words of the very item that is to be found, so figures say whether a system "
    "reads requests, not how well it serves real ones"
)
_HINT = "write tab-separated UTF-8 text whose first line is: user<TAB>query; queries: none and simulated need no file"

_GROUPS_HINT = (
    "write tab-separated UTF-8 text whose first line is: user<TAB>group; without groups they go by history length"
)


@dataclass(frozen=True, eq=False)
class Requests:
    """What each test user says (None: nothing), a name for all of it, and what a reader must know about it."""

    texts: list[str | None]
    name: str
    warnings: list[str] = field(default_factory=list)


def requests_of(suite: Suite, context: EvaluationContext) -> Requests:
    """Those that the suite asks for. DataError with file and line for a file that cannot be read as declared."""
    if suite.queries == "none":
        return Requests([None] * len(context.split.users), "none")
    if suite.queries == "simulated":
        return simulated_requests(context)
    return given_requests(suite.folder / suite.queries, context)


def given_requests(file: Path, context: EvaluationContext) -> Requests:
    """Those of a TSV with the columns user and query, one line a user. Its name is a hash of what it says."""
    said = read_of_users(file, "query", _HINT, old="request")
    train = context.split.train
    test_users = [str(train.user_ids[user]) for user in context.split.users]
    texts = [said.get(user) for user in test_users]
    silent, strangers = sum(text is None for text in texts), len(set(said) - set(test_users))
    counted = (
        (silent, f"of {len(texts):,} test users have no request there and say nothing"),
        (strangers, "users with a request are no test users here; ignored"),
    )
    if silent == len(texts):
        raise DataError(f"{file} has no request of any test user", _HINT)
    name = hashlib.sha256(repr(sorted(said.items())).encode()).hexdigest()
    return Requests(texts, name, [f"{file.name}: {count:,} {what}" for count, what in counted if count])


def simulated_requests(context: EvaluationContext) -> Requests:
    """A request for each test user about one of their targets; None where it has no telling word.

    The same for a user whatever others are asked for.
    """
    simulator = QuerySimulator(context.items, template_of(context.settings).language)
    texts = []
    for user, target in zip(context.split.users, context.split.targets, strict=True):
        digest = hashlib.sha256(f"request {context.split.train.user_ids[user]}".encode()).digest()
        generator = np.random.default_rng(int.from_bytes(digest[:8], "big"))
        item = context.items[int(target[generator.integers(len(target))])]
        texts.append(simulator.query(item, generator, "test"))
    silent = sum(text is None for text in texts)
    said = [f"{silent} of {len(texts)} test users say nothing: no word of their item is rare enough"] if silent else []
    return Requests(texts, "simulated", [WARNING, *said])


def groups_of(suite: Suite, context: EvaluationContext) -> tuple[list[str | None] | None, list[str]]:
    """The group of each test user [m] (None: in none), or None where the suite names no file; and what a reader must
    know. DataError with file and line for a file that cannot be read as declared.
    """
    if suite.groups is None:
        return None, []
    file = suite.folder / suite.groups
    named, train = read_of_users(file, "group", _GROUPS_HINT), context.split.train
    found = [named.get(str(train.user_ids[user])) for user in context.split.users]
    without = sum(group is None for group in found)
    if without == len(found):
        raise DataError(f"{file} has the group of no test user", _GROUPS_HINT)
    return found, [f"{file.name}: {without:,} of {len(found):,} test users are in no group there"] if without else []
