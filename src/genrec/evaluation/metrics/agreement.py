"""Agreement of the language model with P(click): Kendall's tau-b between their orders of a slate.

    (pairs in the same order - pairs in opposite order) / sqrt((pairs not tied in one) * (pairs not tied in the other))

1: the same order, -1: the reverse. Source: Kendall, A new measure of rank correlation, Biometrika 30, 1938, and The
treatment of ties in ranking problems, Biometrika 33, 1945. One slate: `genrec.reranking.validity.agreement`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from genrec.evaluation.metrics import Better

DEFINITION = "Kendall's tau-b between the language model's order of a slate and that of P(click)"
BETTER: Better = "neither"


def over_answers(taus: Sequence[float | None]) -> dict[str, Any]:
    """The mean over the answers [n] for which it is defined, None without any, and the number of those."""
    known = [tau for tau in taus if tau is not None]
    return {"mean_tau": round(float(np.mean(known)), 6) if known else None, "users": len(known)}
