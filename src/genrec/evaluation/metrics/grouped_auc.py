"""Grouped AUC: the area under the ROC curve within each user, averaged by the user's number of rows.

    sum over users of rows(u) * AUC(u) / sum over users of rows(u)

Users with clicks only, or without any, are left out. Unlike AUC it gives nothing for knowing who clicks much.
Source: Zhu et al., Optimized cost per click in Taobao display advertising, KDD 2017; Zhou et al., Deep interest network
for click-through rate prediction, KDD 2018.
"""

import numpy as np
import numpy.typing as npt

from genrec.evaluation.metrics import Better, Values

DEFINITION = "AUC within each user, weighted by the user's rows; users with one kind of outcome are left out"
BETTER: Better = "higher"


def over_rows(user: npt.NDArray[np.integer], clicked: Values, p_click: Values) -> float:
    """Value in [0, 1] over n rows; .5 is chance, NaN where no user has both outcomes."""
    values, rows = by_user(user, clicked, p_click)
    both = np.isfinite(values)
    return float(np.average(values[both], weights=rows[both])) if both.any() else float("nan")


def by_user(user: npt.NDArray[np.integer], clicked: Values, p_click: Values) -> tuple[Values, Values]:
    """AUC and number of rows of each distinct user in ascending order [U] [U]; NaN with one kind of outcome.

    By Mann-Whitney's U from ranks within users, where ties share the mean of their ranks.
    """
    order = np.lexsort((p_click, user))
    owner = np.unique(user[order], return_inverse=True)[1]
    positive, p = clicked[order] > 0.5, p_click[order]
    new = np.ones(len(p), dtype=np.bool_)
    new[1:] = (owner[1:] != owner[:-1]) | (p[1:] != p[:-1])
    tie = np.cumsum(new) - 1
    rank = np.bincount(tie, np.arange(1.0, len(p) + 1))[tie] / np.bincount(tie)[tie] if len(p) else p
    rows = np.bincount(owner).astype(np.float64)
    clicks = np.bincount(owner, positive)
    before = np.concatenate(([0.0], np.cumsum(rows)))[:-1]
    sums = np.bincount(owner, positive * rank) - clicks * before
    pairs = clicks * (rows - clicks)
    ordered = sums - clicks * (clicks + 1) / 2
    return np.divide(ordered, pairs, out=np.full(len(pairs), np.nan), where=pairs > 0), rows
