"""What should be said of a slate: the item chosen, what the user liked later, or what a teacher says."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import softmax

from genrec.data.interactions import FloatArray, IntArray

DECAY = 0.5
"""What an event counts less for each event before it."""


def one_hot(n: int, place: int) -> FloatArray:
    """All on the item chosen [n]."""
    target = np.zeros(n)
    target[place] = 1.0
    return target


def grades(value: FloatArray) -> FloatArray:
    """Each value [n] as its mid-rank among all values that are there, in (0, 1); 1 where there is none.

    A unit-free grade that serves ratings, play times and completion alike.
    """
    known = np.sort(value[~np.isnan(value)])
    if not len(known):
        return np.ones(len(value))
    middle = (np.searchsorted(known, value, "left") + np.searchsorted(known, value, "right")) / (2 * len(known))
    return np.where(np.isnan(value), 1.0, middle)


def graded(slate: IntArray, item: IntArray, grade: FloatArray, decay: float = DECAY) -> FloatArray:
    """Soft target over a slate [n] from what the user did next.

    `item` and `grade` [m] are the event to be foreseen and those after it, in order; an event with grade 0 counts for
    nothing. target_i is proportional to the sum over events j about item i of grade_j * decay^j. Without any grade the
    first event has it all.
    """
    gain = grade * decay ** np.arange(len(item), dtype=np.float64)
    target = np.array([gain[item == candidate].sum() for candidate in slate], dtype=np.float64)
    return target / target.sum() if target.sum() > 0 else one_hot(len(slate), int(np.argmax(slate == item[0])))


def soft_targets(teacher: npt.NDArray[np.floating], temperature: float = 1.0) -> FloatArray:
    """softmax(teacher / temperature) over a slate [n] (Hinton, Vinyals, Dean 2015)."""
    return np.asarray(softmax(np.asarray(teacher, dtype=np.float64) / temperature))


def distilled(
    teacher: npt.NDArray[np.floating], click: FloatArray, temperature: float = 1.0, click_share: float = 0.0
) -> FloatArray:
    """(1 - click_share) * softmax(teacher / temperature) + click_share * click, with `click` [n] what was chosen."""
    return (1 - click_share) * soft_targets(teacher, temperature) + click_share * click
