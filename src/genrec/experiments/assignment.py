"""Experiments on users: who is in which arm, and changes of it that hold from the next request on.

An arm is drawn by a hash of salt and user id, so it is the same at every visit and on every server. Each arm rings a
clock whose rate is its weight, and the first one wins: arms get users in proportion to their weights, and a weight that
grows brings users into its arm without moving any between the others. Sources: Thaler and Ravishankar, Using name-based
mappings to increase hit rates, IEEE/ACM Transactions on Networking 6(1), 1998; Schindelhauer and Schomaker, Weighted
distributed hash tables, SPAA 2005.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from pydantic import ValidationError

from genrec.domain import Assignment
from genrec.errors import NotFoundError, SettingsError, WorkspaceError
from genrec.settings import ExperimentSettings, ExperimentsSettings, Settings

FILE = "experiments.json"
"""In the workspace: what commands changed. It goes before the settings, experiment by experiment."""

Experiments = Mapping[str, ExperimentSettings]


def uniform(*parts: str) -> float:
    """A number in (0, 1) that depends on the parts only, evenly spread."""
    digest = hashlib.blake2b(json.dumps(parts).encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return ((int.from_bytes(digest) >> 11) + 0.5) / 2**53


def control(experiment: ExperimentSettings) -> str:
    """The arm of callers without a name, and of everybody after a rollback."""
    return next(iter(experiment.arms))


def shares(experiment: ExperimentSettings) -> dict[str, float]:
    """What share of its users each arm gets."""
    total = sum(experiment.arms.values())
    return {arm: weight / total for arm, weight in experiment.arms.items()}


def drawn(name: str, experiment: ExperimentSettings, user_id: str) -> str | None:
    """The arm of a user; None if they are not among the share that takes part."""
    salt = experiment.salt or name
    if uniform(salt, "takes part", user_id) >= experiment.share:
        return None
    rings = {arm: -math.log(uniform(salt, arm, user_id)) / weight for arm, weight in experiment.arms.items() if weight}
    return min(rings, key=lambda arm: rings[arm])


def assign(experiments: Experiments, user_id: str | None) -> Assignment | None:
    """The arm of a request: of the first running experiment, by name, that the user takes part in.

    None where there is none. A caller without a name gets the control of the first.
    """
    for name, experiment in sorted(experiments.items()):
        if experiment.enabled and experiment.share:
            arm = control(experiment) if user_id is None else drawn(name, experiment, user_id)
            if arm is not None:
                return Assignment(name, arm, shares(experiment))
    return None


def serves(arm: str) -> tuple[str | None, str | None]:
    """Template and adapter of an arm; None where it has that of the settings."""
    template, _, adapter = arm.partition("@")
    return template or None, adapter or None


class LiveExperiments:
    """The experiments of a workspace at each moment: the file is looked at again when it has changed."""

    def __init__(self, root: Path, settings: Settings) -> None:
        self._root, self._settings = root, settings.experiments.named()
        self._stamp: tuple[int, int, int] | None = None
        self._current: Experiments = self._settings

    def current(self) -> Experiments:
        """By name. A file that cannot be read changes nothing, and the log says so once."""
        stamp = _stamp(self._root / FILE)
        if stamp != self._stamp:
            self._stamp = stamp
            try:
                self._current = {**self._settings, **read(self._root)}
            except WorkspaceError as error:
                logging.getLogger("genrec").error("experiments stay as they are: %s", error.message)
        return self._current

    def assign(self, user_id: str | None) -> Assignment | None:
        """See `assign`."""
        return assign(self.current(), user_id)


def read(root: Path) -> dict[str, ExperimentSettings]:
    """What the file of a workspace says; empty without one. WorkspaceError if it is wrong."""
    file = root / FILE
    try:
        return ExperimentsSettings.model_validate_json(file.read_bytes()).named()
    except FileNotFoundError:
        return {}
    except (OSError, ValidationError) as error:
        raise WorkspaceError(
            f"{file} is no file of experiments", "fix or remove it; genrec prompt experiment writes it"
        ) from error


def known(root: Path, settings: Settings) -> dict[str, ExperimentSettings]:
    """All experiments of a workspace, those of its settings too, by name."""
    return {**settings.experiments.named(), **read(root)}


def start(root: Path, settings: Settings, name: str, experiment: ExperimentSettings) -> None:
    """Begins an experiment. SettingsError if one of the name runs, or the name cannot be one."""

    def begun(known: dict[str, ExperimentSettings]) -> dict[str, ExperimentSettings]:
        if name in known and known[name].enabled:
            raise SettingsError(f"the experiment {name!r} runs already", "change its weights, or stop it first")
        return {name: experiment}

    _change(root, settings, begun)


def stop(root: Path, settings: Settings, name: str) -> None:
    """Ends an experiment: its users get what the settings say. NotFoundError if there is none of the name."""
    _change(root, settings, lambda known: {name: _named(known, name).model_copy(update={"enabled": False})})


def reweigh(root: Path, settings: Settings, name: str, weights: Mapping[str, float]) -> None:
    """New weights for some arms of an experiment. NotFoundError if there is no such experiment or arm."""

    def weighed(known: dict[str, ExperimentSettings]) -> dict[str, ExperimentSettings]:
        experiment = _named(known, name)
        for arm in weights:
            if arm not in experiment.arms:
                raise NotFoundError(
                    f"the experiment {name!r} has no arm {arm!r}", f"its arms: {', '.join(experiment.arms)}"
                )
        return {name: experiment.model_copy(update={"arms": {**experiment.arms, **weights}})}

    _change(root, settings, weighed)


def roll_back(root: Path, settings: Settings, name: str | None = None) -> list[str]:
    """Gives everybody the control arm, of the named experiment or of all that run; returns their names.

    NotFoundError if none runs.
    """
    chosen: list[str] = []

    def controlled(known: dict[str, ExperimentSettings]) -> dict[str, ExperimentSettings]:
        running = {each: one for each, one in known.items() if one.enabled}
        wanted = running if name is None else {name: _named(running, name)}
        if not wanted:
            raise NotFoundError("no experiment runs", "look at them: genrec prompt experiment list")
        chosen.extend(wanted)
        return {
            each: one.model_copy(update={"arms": {arm: float(arm == control(one)) for arm in one.arms}})
            for each, one in wanted.items()
        }

    _change(root, settings, controlled)
    return chosen


Change = Callable[[dict[str, ExperimentSettings]], dict[str, ExperimentSettings]]


def _change(root: Path, settings: Settings, change: Change) -> None:
    """Writes what `change` makes of the known experiments beside the others of the file: at once, or not at all."""
    from filelock import FileLock

    file = root / FILE
    try:
        with FileLock(root / f".{FILE}.lock"):
            changed = {**read(root), **change(known(root, settings))}
            content = {name: one.model_dump() for name, one in changed.items()}
            try:
                ExperimentsSettings.model_validate(content)
            except ValidationError as error:
                raise SettingsError(error.errors()[0]["msg"].removeprefix("Value error, ")) from None
            temporary = file.with_name(f".{FILE}.new")
            with temporary.open("w", encoding="utf-8") as stream:
                json.dump(content, stream, indent=1)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(file)
    except OSError as error:
        raise WorkspaceError(
            f"{file} cannot be written: {error.strerror}", "free disk space or fix the rights"
        ) from error


def _named(experiments: Experiments, name: str) -> ExperimentSettings:
    if name not in experiments:
        there = ", ".join(sorted(experiments))
        raise NotFoundError(
            f"there is no experiment {name!r}", f"there are: {there}" if there else "genrec prompt experiment start"
        )
    return experiments[name]


def _stamp(file: Path) -> tuple[int, int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size
