"""Validity: the share of rankings that name every item of the slate once and nothing else.

    1 if no id is invalid (not in the slate), duplicate, or missing, else 0; averaged over rankings

Source: as `genrec.checks.validate` counts them; for generated lists see Hou et al., Large language models are zero-shot
rankers for recommender systems, ECIR 2024.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from genrec.checks import Validity
from genrec.evaluation.metrics import Better, Values

DEFINITION = "share of rankings without an invalid, duplicate or missing id"
BETTER: Better = "higher"


def per_answer(validity: Sequence[Validity]) -> Values:
    """1.0 or 0.0 for each ranking [m]."""
    return np.array([float(one.ok and not one.missing) for one in validity])


def shares(validity: Sequence[Validity]) -> dict[str, float]:
    """Share of rankings with at least one id that is invalid, duplicate, missing; 0 without rankings."""
    n = max(len(validity), 1)
    return {kind: sum(bool(getattr(one, kind)) for one in validity) / n for kind in ("invalid", "duplicate", "missing")}
