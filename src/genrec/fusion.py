"""Fusion of retriever score, language model score and P(click) into one order, with weights learned on validation."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize, minimize_scalar
from scipy.special import log_softmax
from scipy.stats import rankdata

from genrec.clicks.calibration import to_logit
from genrec.data.interactions import FloatArray
from genrec.errors import WorkspaceError

UNMEASURED_LLM_WEIGHT = 0.1
"""Weight of the language model, in standard deviations, while no validation slate was read by it: a tie-break."""

_PARTS = ("retriever", "retriever_rank", "p_click", "llm")


@dataclass(frozen=True, eq=False)
class Slate:
    """One validation slate: scores of its n items [n] and the position of the item the user then chose.

    `llm` must be what `checks.llm_scores` returns. `llm` and `p_click` are None where they were not computed.
    """

    retriever: FloatArray
    target: int
    p_click: FloatArray | None = None
    llm: FloatArray | None = None


@dataclass(frozen=True)
class Weights:
    """Weights of the standardised parts, none negative: a part that misleads is left out, never turned around."""

    retriever: float = 1.0
    retriever_rank: float = 0.0
    p_click: float = 0.0
    llm: float = 0.0


@dataclass(frozen=True)
class Fusion:
    """score = sum of weight * part, each part standardised within its slate, so the order of the slate is no input.

    Parts: the retriever's score, minus the logarithm of its rank, logit P(click), the language model's score.
    `without_llm` holds when there is no score of the model, `with_llm` when there is. `slates` and `llm_slates` say how
    many validation slates they were learned on.
    """

    without_llm: Weights = Weights()
    with_llm: Weights = Weights(llm=UNMEASURED_LLM_WEIGHT)
    slates: int = 0
    llm_slates: int = 0

    @classmethod
    def default(cls) -> Self:
        """Before anything was learned: the retriever's order, with the language model as a tie-break."""
        return cls()

    @classmethod
    def fit(cls, slates: Sequence[Slate], read: Sequence[Slate] = (), l2: float = 0.01) -> Self:
        """Minimises the mean of -log softmax(score)[target] + l2 * |w|^2 with w >= 0 (convex; L-BFGS-B).

        This is ListNet's top-one loss (Cao et al., 2007). `slates` teach `without_llm`; `read`, the slates with the
        model's scores, teach the one weight that `with_llm` has beside it: there are few of them, and the order with
        the model should differ from the one without it by what the model says only. Without any `read` the model keeps
        `UNMEASURED_LLM_WEIGHT`. Slates of one item say nothing and are skipped.
        """
        slates = [slate for slate in slates if len(slate.retriever) > 1]
        read = [slate for slate in read if len(slate.retriever) > 1 and slate.llm is not None]
        without = _fit(slates, l2) if slates else Weights()
        llm = _llm_weight(read, without, l2) if read else UNMEASURED_LLM_WEIGHT
        return cls(without, replace(without, llm=llm), len(slates), len(read))

    def score(self, retriever: npt.ArrayLike, llm: npt.ArrayLike | None, p_click: npt.ArrayLike | None) -> FloatArray:
        """Fused scores [n] of one slate; a part that is None takes no part. Comparable within the slate only."""
        weights = self.without_llm if llm is None else self.with_llm
        return _parts(retriever, llm, p_click) @ _vector(weights)

    def save(self, folder: Path) -> None:
        """Writes fusion.json."""
        (folder / "fusion.json").write_text(json.dumps(asdict(self), indent=1), "utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Reads what `save` wrote; WorkspaceError if it cannot be read."""
        try:
            data = json.loads((folder / "fusion.json").read_text("utf-8"))
            return cls(Weights(**data["without_llm"]), Weights(**data["with_llm"]), data["slates"], data["llm_slates"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise WorkspaceError(f"{folder} has no readable fusion weights", "run genrec fit again") from error


def _vector(weights: Weights) -> FloatArray:
    return np.array([getattr(weights, part) for part in _PARTS], dtype=np.float64)


def _standardise(values: FloatArray) -> FloatArray:
    spread = float(values.std()) if len(values) else 0.0
    scale = max(1.0, float(np.abs(values).max())) if len(values) else 1.0
    return (values - values.mean()) / spread if spread > 1e-12 * scale else np.zeros_like(values)


def _parts(retriever: npt.ArrayLike, llm: npt.ArrayLike | None, p_click: npt.ArrayLike | None) -> FloatArray:
    """Standardised parts [n, 4] in the order of _PARTS."""
    raw = np.asarray(retriever, dtype=np.float64)
    absent = np.zeros_like(raw)
    return np.column_stack(
        [
            _standardise(raw),
            _standardise(-np.log(rankdata(-raw))) if len(raw) else absent,
            absent if p_click is None else _standardise(to_logit(p_click)),
            absent if llm is None else _standardise(np.asarray(llm, dtype=np.float64)),
        ]
    )


def _fit(slates: Sequence[Slate], l2: float) -> Weights:
    parts = [_parts(slate.retriever, None, slate.p_click) for slate in slates]
    sizes = np.array([len(part) for part in parts])
    starts = np.cumsum(sizes) - sizes
    targets = starts + [slate.target for slate in slates]
    stacked = np.concatenate(parts)

    def loss(weights: FloatArray) -> tuple[float, FloatArray]:
        scores = stacked @ weights
        shifted = scores - np.repeat(np.maximum.reduceat(scores, starts), sizes)
        total = np.add.reduceat(np.exp(shifted), starts)
        p = np.exp(shifted) / np.repeat(total, sizes)
        value = np.mean(np.log(total) - shifted[targets]) + l2 * float(weights @ weights)
        return float(value), (p @ stacked - stacked[targets].sum(axis=0)) / len(slates) + 2 * l2 * weights

    start = np.array([1.0, 0.0, 0.0, 0.0])
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(0.0, None)] * len(_PARTS))
    return Weights(**{part: float(weight) for part, weight in zip(_PARTS, found.x, strict=True)})


def _llm_weight(read: Sequence[Slate], without: Weights, l2: float) -> float:
    """The best weight in 0..10, or 0 where it betters the mean loss by less than one standard error.

    The one-standard-error rule (Breiman et al., 1984) keeps a model that says nothing from adding its noise.
    """
    parts = [_parts(slate.retriever, slate.llm, slate.p_click) for slate in read]

    def losses(weight: float) -> FloatArray:
        weights = _vector(replace(without, llm=weight))
        return np.array([-log_softmax(part @ weights)[slate.target] for part, slate in zip(parts, read, strict=True)])

    found = minimize_scalar(lambda w: losses(w).mean() + l2 * w * w, bounds=(0.0, 10.0), method="bounded")
    gain = losses(0.0) - losses(float(found.x))
    return float(found.x) if len(read) > 1 and gain.mean() > gain.std(ddof=1) / np.sqrt(len(read)) else 0.0
