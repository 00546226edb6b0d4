"""Validity: what is wrong with the ids that a language model named, and the share of rankings with nothing wrong.

    valid = 1 if no id is invalid (not in the slate), duplicate, or missing, else 0

Source: as `genrec.reranking.validity.validate` finds them; for generated lists see Hou et al., Large language models
are zero-shot rankers for recommender systems, ECIR 2024.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from genrec.evaluation.metrics import Better
from genrec.reranking.validity import Validity

DEFINITION = "share of rankings without an invalid, duplicate or missing id"
BETTER: Better = "higher"


class Wrong(NamedTuple):
    """How many ids of one ranking are not in its slate, are named again, are of the slate and not named."""

    invalid: int = 0
    duplicate: int = 0
    missing: int = 0

    @classmethod
    def of(cls, validity: Validity) -> Wrong:
        """The numbers of what a check found."""
        return cls(len(validity.invalid), len(validity.duplicate), len(validity.missing))


def valid(wrong: Wrong) -> float:
    """1.0 or 0.0 for one ranking."""
    return float(not any(wrong))


def over_answers(wrong: Sequence[Wrong], rankings: int) -> dict[str, Any]:
    """Ids of each kind over all answers, beside the number of rankings that came out of the model."""
    return {"rankings": rankings, **{kind: sum(getattr(one, kind) for one in wrong) for kind in Wrong._fields}}
