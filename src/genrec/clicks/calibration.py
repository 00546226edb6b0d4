"""How good probabilities are, and how to make them honest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
from scipy.optimize import isotonic_regression, minimize
from scipy.special import expit, logit
from scipy.stats import rankdata

from genrec.data.interactions import FloatArray

Array = npt.ArrayLike
_EPSILON = 1e-7


def auc(labels: Array, p: Array) -> float:
    """Probability that a positive [labels 1] scores above a negative [0], ties counting one half.

    Mann-Whitney's U over the number of pairs. NaN where one of the two classes is missing.
    """
    positive = np.asarray(labels, dtype=np.float64) > 0.5
    n_positive = int(positive.sum())
    n_negative = len(positive) - n_positive
    if n_positive == 0 or n_negative == 0:
        return float("nan")
    ranks = rankdata(np.asarray(p, dtype=np.float64))
    return float((ranks[positive].sum() - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative))


def log_losses(labels: Array, p: Array) -> FloatArray:
    """-(y log p + (1 - y) log(1 - p)) in nats for each row [n]; p is clipped to [1e-7, 1 - 1e-7]."""
    y = np.asarray(labels, dtype=np.float64)
    clipped = np.clip(np.asarray(p, dtype=np.float64), _EPSILON, 1 - _EPSILON)
    losses: FloatArray = -(y * np.log(clipped) + (1 - y) * np.log1p(-clipped))
    return losses


def log_loss(labels: Array, p: Array) -> float:
    """Mean of `log_losses`, in nats. NaN over no rows."""
    losses = log_losses(labels, p)
    return float(losses.mean()) if len(losses) else float("nan")


def expected_calibration_error(labels: Array, p: Array, bins: int = 15) -> float:
    """Sum over bins of (rows in bin / n) * |mean label - mean p| (Naeini et al., 2015; Nguyen and O'Connor, 2015).

    The bins have equal mass: rows are sorted by p and divided into `bins` parts whose sizes differ by one at most. Rows
    of equal p count with their mean label, so that the order of rows does not matter. NaN over no rows.
    """
    y = np.asarray(labels, dtype=np.float64)
    probabilities = np.asarray(p, dtype=np.float64)
    if len(y) == 0:
        return float("nan")
    order = np.argsort(probabilities, kind="stable")
    _, tie = np.unique(probabilities, return_inverse=True)
    y = (np.bincount(tie, y) / np.bincount(tie))[tie]
    parts = np.array_split(order, min(bins, len(order)))
    gaps = [len(part) * abs(float(y[part].mean() - probabilities[part].mean())) for part in parts]
    return sum(gaps) / len(y)


@dataclass(frozen=True, eq=False)
class Calibration:
    """A monotone map from logits to probabilities.

    platt: sigmoid(slope * logit + intercept) (Platt, 1999). isotonic: linear between the knots `x` (logits) and `y`
    (probabilities) of a non-decreasing least-squares fit (Zadrozny and Elkan, 2002).
    """

    kind: Literal["platt", "isotonic"] = "platt"
    slope: float = 1.0
    intercept: float = 0.0
    x: tuple[float, ...] = ()
    y: tuple[float, ...] = ()

    def __call__(self, logits: FloatArray) -> FloatArray:
        """Probabilities [n], strictly between 0 and 1."""
        if self.kind == "isotonic":
            p = np.interp(logits, self.x, self.y)
        else:
            p = expit(self.slope * np.asarray(logits, dtype=np.float64) + self.intercept)
        return np.clip(p, _EPSILON, 1 - _EPSILON)

    def to_json(self) -> dict[str, Any]:
        """Plain data for `from_json`."""
        return {"kind": self.kind, "slope": self.slope, "intercept": self.intercept, "x": self.x, "y": self.y}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Reads `to_json`."""
        return cls(data["kind"], data["slope"], data["intercept"], tuple(data["x"]), tuple(data["y"]))


@dataclass(frozen=True, eq=False)
class Logistic:
    """P = sigmoid(<weights, x> + intercept)."""

    weights: FloatArray
    intercept: float

    def __call__(self, x: FloatArray) -> FloatArray:
        """Probabilities [n] of rows [n, f]."""
        p: FloatArray = expit(x @ self.weights + self.intercept)
        return p


def fit_logistic(x: FloatArray, labels: FloatArray, lowest: float | None = None) -> Logistic:
    """Logistic regression of labels [n] on rows [n, f] without a penalty; no weight below `lowest`.

    Labels are smoothed to (positives + 1) / (positives + 2) and 1 / (negatives + 2) (Platt, 1999): it never diverges.
    """
    positive = float(labels.sum())
    target = np.where(labels > 0.5, (positive + 1) / (positive + 2), 1 / (len(labels) - positive + 2))

    def loss(weights: FloatArray) -> tuple[float, FloatArray]:
        z = x @ weights[:-1] + weights[-1]
        error = expit(z) - target
        return float(np.mean(np.logaddexp(0, z) - target * z)), np.append(error @ x, error.sum()) / len(x)

    start = np.append(np.ones(x.shape[1]), 0.0)
    bounds = [(lowest, None)] * x.shape[1] + [(None, None)]
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds)
    return Logistic(found.x[:-1], float(found.x[-1]))


def fit_platt(logits: FloatArray, labels: FloatArray) -> Calibration:
    """Logistic regression on the logit, with a slope that is not negative: the order stays."""
    fitted = fit_logistic(logits[:, None], labels, lowest=0.0)
    return Calibration("platt", float(fitted.weights[0]), fitted.intercept)


def fit_isotonic(logits: FloatArray, labels: FloatArray) -> Calibration:
    """Pool-adjacent-violators; each block becomes a knot, its mean smoothed by one row of the base rate."""
    order = np.argsort(logits, kind="stable")
    blocks = isotonic_regression(labels[order]).blocks
    sizes = np.diff(blocks)
    x = np.add.reduceat(logits[order], blocks[:-1]) / sizes
    y = (np.add.reduceat(labels[order], blocks[:-1]) + labels.mean()) / (sizes + 1)
    return Calibration("isotonic", x=tuple(map(float, x)), y=tuple(map(float, np.maximum.accumulate(y))))


def fit_calibration(logits: FloatArray, labels: FloatArray, folds: int = 5, seed: int = 0) -> Calibration:
    """The map that has the lower log-loss in cross-validation over the given rows, refitted on all of them.

    Isotonic regression must win clearly (by more than .0005 nats): it has more freedom and drifts faster.
    """
    if len(labels) == 0:
        return Calibration()
    if len(labels) < 50 * folds or labels.min() == labels.max():
        return fit_platt(logits, labels)
    fold = np.random.default_rng(seed).permutation(len(labels)) % folds
    losses = {"platt": 0.0, "isotonic": 0.0}
    for part in range(folds):
        rest, held = fold != part, fold == part
        for name, fit in (("platt", fit_platt), ("isotonic", fit_isotonic)):
            losses[name] += log_loss(labels[held], fit(logits[rest], labels[rest])(logits[held])) / folds
    fit = fit_isotonic if losses["isotonic"] < losses["platt"] - 0.0005 else fit_platt
    return fit(logits, labels)


def to_logit(p: Array) -> FloatArray:
    """log(p / (1 - p)) [n], clipped so that it stays finite."""
    clipped: FloatArray = logit(np.clip(np.asarray(p, dtype=np.float64), _EPSILON, 1 - _EPSILON))
    return clipped
