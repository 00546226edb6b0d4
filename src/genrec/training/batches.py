"""From examples by number to batches of slates of similar length, the same ones whenever they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress

import numpy as np

from genrec.errors import BudgetError, GuardError
from genrec.training.base import Example, ExampleSource, TokenSlate
from genrec.training.config import LoopSettings
from genrec.training.curriculum import linear

_TRIES = 8
"""So many examples in a row that cannot be rendered are no accident: the error of the last is shown."""
Tokenise = Callable[[Example, int], TokenSlate]
"""Renders an example; the number is the seed of its label order."""


class Batches:
    """This process's share of the batch of each step.

    So many batches as `pool` says are drawn at once, sorted by length and cut, so that a batch has little padding.
    Every process draws and renders its own share of the examples only. What a step trains on depends on the step, the
    seed and the number of processes, on nothing before it: training resumes at any step.
    """

    def __init__(
        self,
        source: ExampleSource,
        tokenise: Tokenise,
        settings: LoopSettings,
        process: int = 0,
        processes: int = 1,
    ) -> None:
        self._source, self._tokenise, self._settings = source, tokenise, settings
        self._process, self._processes = process, processes
        self._pool: tuple[int, list[list[TokenSlate]]] = (-1, [])

    def batch(self, step: int) -> list[TokenSlate]:
        """The slates of a step (from 0) for this process."""
        number, place = divmod(step, self._settings.pool)
        if self._pool[0] != number:
            self._pool = (number, self._draw(number))
        return self._pool[1][place]

    def _draw(self, number: int) -> list[list[TokenSlate]]:
        settings = self._settings
        size = settings.pool * settings.batch
        difficulty = linear(number * settings.pool, settings.curriculum)
        mine = range(number * size + self._process, (number + 1) * size, self._processes)
        slates = sorted((self._slate(position, difficulty) for position in mine), key=lambda slate: slate.tokens)
        batches = np.array_split(np.arange(len(slates)), settings.pool)
        order = np.random.default_rng([settings.seed, number]).permutation(settings.pool)
        return [[slates[row] for row in batches[which]] for which in order]

    def _slate(self, position: int, difficulty: float) -> TokenSlate:
        """The example of a position, or the next that can be rendered: serving has no prompt for the others either."""
        n = len(self._source)
        epoch, place = divmod(position, n)
        order = np.random.default_rng([self._settings.seed, epoch]).permutation(n)

        def rendered(behind: int) -> TokenSlate:
            example = self._source.example(epoch, int(order[(place + behind) % n]), difficulty)
            return self._tokenise(example, position)

        for behind in range(_TRIES - 1):
            with suppress(BudgetError, GuardError):
                return rendered(behind)
        return rendered(_TRIES - 1)


def passes(slates: Sequence[TokenSlate], tokens: int) -> list[list[int]]:
    """Positions of slates in groups for one forward pass each: similar lengths, at most `tokens` with padding.

    A slate longer than that is a group of its own.
    """
    groups: list[list[int]] = []
    for row in sorted(range(len(slates)), key=lambda row: slates[row].tokens):
        if not groups or slates[row].tokens * (len(groups[-1]) + 1) > tokens:
            groups.append([])
        groups[-1].append(row)
    return groups
