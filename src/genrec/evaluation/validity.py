"""Validity of rankings by a language model, and their agreement with P(click): figures of what it made of slates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from genrec.reranking.validity import Validity

VALIDITY = "share of rankings without an invalid, duplicate or missing id"
AGREEMENT = "Kendall's tau-b between the language model's order of a slate and that of P(click)"


class Wrong(NamedTuple):
    """How many ids of one ranking are not in its slate, are named again, are of the slate and not named.

    As `genrec.reranking.policy.validate` finds them; for generated lists see Hou et al., Large language models are
    zero-shot rankers for recommender systems, ECIR 2024.
    """

    invalid: int = 0
    duplicate: int = 0
    missing: int = 0

    @classmethod
    def of(cls, validity: Validity) -> Wrong:
        """The numbers of what a check found."""
        return cls(len(validity.invalid), len(validity.duplicate), len(validity.missing))


def validity(wrong: Sequence[Wrong], rankings: int) -> dict[str, Any]:
    """Ids of each kind over all answers, beside the number of rankings that came out of the model."""
    return {"rankings": rankings, **{kind: sum(getattr(one, kind) for one in wrong) for kind in Wrong._fields}}


def agreement(taus: Sequence[float | None]) -> dict[str, Any]:
    """The mean of `genrec.reranking.policy.agreement` over the answers for which it is defined, and their number."""
    known = [tau for tau in taus if tau is not None]
    return {"mean_tau": round(float(np.mean(known)), 6) if known else None, "users": len(known)}
