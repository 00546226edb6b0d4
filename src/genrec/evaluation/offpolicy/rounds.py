"""What was logged, as importance weights: the common input of all estimators."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from genrec.data.interactions import BoolArray, FloatArray
from genrec.errors import DataError

Owners = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Rounds:
    """n logged lists of up to K places (K is 1 for single actions), seen from one new policy.

    `reward` [n, K]: clicks, 0 beyond the end of a list. `place` [n, K]: how much likelier the new policy shows the item
    at this place, P_new / P_log of the item at the place. `prefix` [n, K]: the same of the whole list down to the
    place; the last column is that of the list. Beyond the end of a list `place` is 1 and `prefix` its last value.
    `predicted` [n, K]: a reward model's guess for what was shown; `expected` [n, K]: its mean over what the new policy
    would show at the place; 0 beyond the end. What is not known is None.
    `owner` [n]: whose list it is, 0 to m - 1: what is resampled together. `shown` [n, K]: whether there is an item at
    the place; None: at every place.
    """

    reward: FloatArray
    owner: Owners
    place: FloatArray | None = None
    prefix: FloatArray | None = None
    predicted: FloatArray | None = None
    expected: FloatArray | None = None
    shown: BoolArray | None = None

    def __len__(self) -> int:
        return len(self.reward)

    def clipped(self, limit: float) -> Rounds:
        """Weights above `limit` become `limit`: less variance for some bias.

        Source: Ionides, Truncated importance sampling, Journal of Computational and Graphical Statistics, 2008.
        """
        place, prefix = (None if weight is None else np.minimum(weight, limit) for weight in (self.place, self.prefix))
        return replace(self, place=place, prefix=prefix)

    def as_logged(self) -> Rounds:
        """The same lists seen from the policy that showed them: all weights are 1."""
        ones = np.ones_like(self.reward)
        place, prefix = (None if weight is None else ones for weight in (self.place, self.prefix))
        return replace(self, place=place, prefix=prefix, expected=self.predicted)


def importance(target: npt.ArrayLike, logging: npt.ArrayLike) -> FloatArray:
    """Weights target / logging, any shape, of what was shown.

    DataError for a target outside of [0, 1] or a propensity outside of (0, 1]: what was shown can be shown.
    """
    new, old = np.asarray(target, dtype=np.float64), np.asarray(logging, dtype=np.float64)
    wrong = int((~((old > 0) & (old <= 1))).sum())
    if wrong:
        raise DataError(
            f"{wrong} of {old.size} propensities are not in (0, 1]",
            "log the probability with which the policy showed the item; what was shown has one above 0",
        )
    if not np.all((new >= 0) & (new <= 1)):
        raise DataError("the new policy has probabilities outside of [0, 1]", "correct the policy")
    weights: FloatArray = new / old
    return weights


def owners(user_ids: list[str | None]) -> Owners:
    """Number of each list's user; a list without a user is its own owner."""
    keys = [("user", user) if user is not None else ("row", row) for row, user in enumerate(user_ids)]
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    return np.array([numbers[key] for key in keys], dtype=np.int64)
