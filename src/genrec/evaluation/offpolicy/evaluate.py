"""The value of a workspace's policies from its own exposures: `genrec eval policy`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from genrec.data.store import Store
from genrec.errors import SettingsError
from genrec.evaluation.offpolicy.base import ESTIMATORS
from genrec.evaluation.offpolicy.exposures import LoggedLists, logged_lists
from genrec.evaluation.offpolicy.judge import LOGGED, judged
from genrec.evaluation.offpolicy.policies import SYSTEMS, answers, fitted_before, given, policies_of
from genrec.evaluation.protocol import few_users, left_out
from genrec.evaluation.suite.external import Lists
from genrec.settings import Settings
from genrec.text.encoders import Encoder, Progress

MANY_LEFT_OUT = 0.05


def evaluate_policies(
    store: Store,
    settings: Settings,
    split: str = "temporal",
    users: Sequence[str] | None = None,
    *,
    policies: Sequence[str] = tuple(SYSTEMS),
    lists: Sequence[Lists] = (),
    estimators: Sequence[str] = (),
    clip: float | None = None,
    seed: int = 0,
    encoder: Encoder | None = None,
    cache_folder: Path,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """The clicks on a list that each policy would have had, from the exposures of a workspace with propensities.

    `policies` are names (see `policies.SYSTEMS`), `lists` those of other tools; `estimators` are names or dotted paths,
    by default all that the log can feed; `clip` cuts importance weights. Raises DataError where the log has no
    exploration, NotFoundError for unknown names, SettingsError where two have one.
    """
    for name in estimators:
        ESTIMATORS.load(name)
    _distinct([*policies, *(other.file.stem for other in lists)])
    log = logged_lists(store, users, settings.scoring.liked)
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
    result = judged(rounds, clip, seed, estimators)
    n_users = int(log.owner.max()) + 1
    return {
        **result,
        "users": n_users,
        "lists": len(log.exposures),
        "clicks": int(log.reward.sum()),
        "split": split,
        "warnings": [*left_out(users, n_users), *few_users(n_users), *_left_out(log), *result["warnings"]],
        "definitions": {**result["definitions"], **named},
        "fitted": record,
    }


def _distinct(names: Sequence[str]) -> None:
    twice = sorted(name for name, times in Counter([*names, LOGGED]).items() if times > 1)
    if twice:
        raise SettingsError(
            f"two policies are called {', '.join(map(repr, twice))}",
            "name each policy once; lists are called as their file, without its ending: rename the file",
        )


def _left_out(log: LoggedLists) -> list[str]:
    every = len(log.exposures) + log.left_out
    if log.left_out <= MANY_LEFT_OUT * every:
        return []
    return [f"{log.left_out} of {every} logged lists have no user or no propensities and are left out"]
