"""Both templates rank the same slates of the same users; what each made of them is kept, so that a run can go on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from genrec.errors import DataError, ModelError
from genrec.evaluation.replay import ReplayedRequest
from genrec.evaluation.suite.context import EvaluationContext
from genrec.evaluation.suite.requests import requests_of
from genrec.evaluation.suite.schema import Served, Suite, System
from genrec.evaluation.suite.served import Load, ServedPath
from genrec.evaluation.templates.sides import Side
from genrec.text.encoders import Progress

OWN_LOG = Suite(
    name="own-log",
    description="the latest tenth of the workspace's own log is to be found",
    systems={"llm": System(served=Served(orders="llm"))},
)
"""Stands in where no suite is named."""


@dataclass(frozen=True, eq=False)
class Read:
    """What one template made of every slate: answers [s][m] of s seeds and m users, and which model read them."""

    side: Side
    replays: list[list[ReplayedRequest]]
    described: dict[str, Any]


def read_by(
    pair: tuple[Side, Side],
    suite: Suite,
    context: EvaluationContext,
    seeds: Sequence[int],
    load: Load,
    *,
    fused: bool = False,
) -> tuple[list[Read], list[str]]:
    """What both templates make of the slates of the context's users, and warnings.

    One model is loaded after the other, and none where everything is known from an earlier run. `fused`: the weight of
    the model beside the other scores is learned for each template, which takes further reads. DataError if the slates
    differ, SettingsError for an adapter that may have seen what is to be found, ModelError if a template ranked none.
    """
    requests = requests_of(suite, context)
    warnings, reads = list(requests.warnings), list[Read]()
    for side in pair:
        found, said = _read(side, suite, context, requests.texts, seeds, load, fused)
        reads.append(found)
        warnings += [text for text in said if text not in warnings]
    slates = [[[one.lists["slate"] for one in replay] for replay in read.replays] for read in reads]
    if slates[0] != slates[1]:
        raise DataError(
            "the two templates were given different slates, so they cannot be compared",
            "remove the folder cache of the workspace and try again",
        )
    return reads, warnings


def _read(
    side: Side,
    suite: Suite,
    context: EvaluationContext,
    requests: Sequence[str | None],
    seeds: Sequence[int],
    load: Load,
    fused: bool,
) -> tuple[Read, list[str]]:
    llm = side.settings.llm if fused else side.settings.llm.model_copy(update={"slates": 0})
    settings = side.settings.model_copy(update={"llm": llm})
    path = ServedPath(
        replace(context, settings=settings, progress=context.progress and partial(_told, context.progress, side.name)),
        Served(orders="llm"),
        llm=True,
        load=load,
        requests=requests,
        allow_leak=suite.allow_leak,
        decisive=suite.is_decisive,
    )
    with path.opened():
        read = Read(side, [path.replay(seed) for seed in seeds], path.describe())
    reasons = [one.fallback for replay in read.replays for one in replay if one.fallback is not None]
    asked = sum(one.asked for replay in read.replays for one in replay)
    if asked and len(reasons) == asked:
        raise ModelError(
            f"{side.name} ranked no slate at all (first reason: {reasons[0]})",
            "look at what is read: genrec prompt render; and at: genrec doctor",
        )
    failed = [f"{side.name} ranked {asked - len(reasons)} of {asked} slates only"] if reasons else []
    return read, [*path.warnings, *failed]


def _told(progress: Progress, name: str, what: str, done: int, total: int) -> None:
    progress(f"{name}: users" if what.startswith("asking") else what, done, total)
