"""From easy to hard: which negatives a slate has at a given difficulty, and which difficulty a step has."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from genrec.data.interactions import BoolArray, FloatArray

Index = npt.NDArray[np.int64]


def linear(step: int, ramp: int) -> float:
    """Difficulty of a step: from 0 at the first to 1 after `ramp` steps, and 1 from there on."""
    return 1.0 if step >= ramp else step / ramp


def draw(
    base: FloatArray, place: int, n: int, difficulty: float, allowed: BoolArray, generator: np.random.Generator
) -> Index:
    """Columns of a slate of n out of a pool, in the pool's order, with the target at column `place` among them.

    `base` [k] are the scores of the second stage, `allowed` [k] says which items may be negatives. A share `difficulty`
    of the negatives (rounded at random) are the best by `base`, the rest is drawn from the others uniformly: at 0 all
    are uniform over the pool, at 1 they are those that are served. Fewer than n if the pool has no more.
    """
    free = allowed.copy()
    free[place] = False
    by_score = np.argsort(-base, kind="stable")
    negatives = by_score[free[by_score]]
    wanted = min(n - 1, len(negatives))
    hard = min(wanted, int(difficulty * wanted + generator.random()))
    easy = generator.choice(negatives[hard:], wanted - hard, replace=False)
    slate: Index = np.sort(np.concatenate([[place], negatives[:hard], easy]).astype(np.int64))
    return slate
