"""Calibration: how good probabilities are, and the maps that turn logits into honest ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
from scipy.optimize import isotonic_regression, minimize, minimize_scalar
from scipy.special import expit, log_softmax, logit, softmax
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


def fit_logistic(x: FloatArray, labels: FloatArray, lowest: float | None = None, l2: float = 0.0) -> Logistic:
    """Logistic regression of labels [n] on rows [n, f], mean loss plus l2 * |weights|^2; no weight below `lowest`.

    Labels are smoothed to (positives + 1) / (positives + 2) and 1 / (negatives + 2) (Platt, 1999): it never diverges.
    """
    positive = float(labels.sum())
    target = np.where(labels > 0.5, (positive + 1) / (positive + 2), 1 / (len(labels) - positive + 2))

    def loss(weights: FloatArray) -> tuple[float, FloatArray]:
        z = x @ weights[:-1] + weights[-1]
        slope = np.append((expit(z) - target) @ x, (expit(z) - target).sum()) / len(x)
        slope[:-1] += 2 * l2 * weights[:-1]
        return float(np.mean(np.logaddexp(0, z) - target * z) + l2 * weights[:-1] @ weights[:-1]), slope

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


@dataclass(frozen=True)
class PoolCalibration:
    """P(item i is what the user takes next) = P(the pool holds it) * softmax(temperature * logits)_i.

    P(the pool holds it) = sigmoid(<weights, x>), x the columns of `_pool_facts`: a constant, log(1 + events of the
    history), the logit of the ten best items' share of the softmax, and 1 for a query in words.
    """

    temperature: float = 1.0
    weights: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)

    def scaled(self, logits: FloatArray) -> FloatArray:
        """Logits [n] of which the softmax is calibrated."""
        return self.temperature * logits

    def probabilities(self, scaled: FloatArray, events: int, asked: bool) -> FloatArray:
        """P(click) [n] from scaled logits [n]; their sum is the probability that the pool holds what is taken."""
        holds = float(expit(_pool_facts(scaled, events, asked) @ self.weights))
        p: FloatArray = holds * softmax(scaled)
        return p

    def recombined(self, p: FloatArray, scaled: FloatArray) -> FloatArray:
        """P(click) [n] of a part of the pool with new logits [n]: the part is as probable as before."""
        again: FloatArray = p.sum() * softmax(scaled)
        return again


@dataclass(frozen=True)
class PlaceCalibration:
    """P(click | shown at the first place) = sigmoid(slope * logit + intercept), with examination divided out.

    A position-based model (Richardson et al., Predicting clicks, 2007): an item at place k is looked at with
    probability k^-eta (Joachims et al., Unbiased learning-to-rank with biased feedback, 2017), and then clicked as
    probably as at the first place.
    """

    slope: float = 1.0
    intercept: float = 0.0
    eta: float = 0.0

    def scaled(self, logits: FloatArray) -> FloatArray:
        """Logits [n] of P(click)."""
        return self.slope * logits + self.intercept

    def probabilities(self, scaled: FloatArray, events: int, asked: bool) -> FloatArray:
        """P(click) [n] from scaled logits [n]."""
        p: FloatArray = expit(scaled)
        return p

    def recombined(self, p: FloatArray, scaled: FloatArray) -> FloatArray:
        """P(click) [n] with new logits [n]."""
        return self.probabilities(scaled, 0, False)


def fit_temperature(cases: Sequence[tuple[FloatArray, int]]) -> float:
    """The temperature of least mean -log softmax(temperature * logits)[target] over pools that hold what was taken.

    One pool's worth of log(temperature)^2 is added: few pools leave it near 1.
    """

    def loss(log_temperature: float) -> float:
        scale = np.exp(log_temperature)
        return float(log_temperature**2 - sum(log_softmax(scale * logits)[target] for logits, target in cases))

    return float(np.exp(minimize_scalar(loss, bounds=(-3.0, 3.0), method="bounded").x))


def fit_holds(temperature: float, pools: Sequence[tuple[FloatArray, int, bool]], held: FloatArray) -> PoolCalibration:
    """P(the pool holds what is taken) learned on scaled logits, events and query of pools, and whether each did [m].

    Ridge-penalised logistic regression on smoothed labels; a column that is equal everywhere gets no weight.
    """
    if not len(pools):
        return PoolCalibration(temperature)
    facts = np.stack([_pool_facts(*pool) for pool in pools])
    centre = facts.mean(axis=0) * [0, 1, 1, 1]
    fitted = fit_logistic((facts - centre)[:, 1:], held, l2=1.0 / len(held))
    weights = np.append(fitted.intercept - centre[1:] @ fitted.weights, fitted.weights)
    constant, events, share, asked = (float(weight) for weight in weights)
    return PoolCalibration(temperature, (constant, events, share, asked))


def fit_places(logits: FloatArray, places: FloatArray, clicked: FloatArray) -> PlaceCalibration:
    """Maximum likelihood of the position-based model on shown items [n]: `places` [n] from 1, `clicked` [n] in {0, 1}.

    Slope and eta are not negative; that of logits which say nothing is 0. What separates place from relevance is that
    items of equal logit were shown at different places.
    """
    base = to_logit((clicked.sum() + 1) / (len(clicked) + 2))

    def loss(x: FloatArray) -> float:
        p = np.clip(places ** -x[2] * expit(x[0] * logits + x[1]), _EPSILON, 1 - _EPSILON)
        return float(-np.mean(clicked * np.log(p) + (1 - clicked) * np.log1p(-p)))

    found = minimize(loss, np.array([1.0, float(base), 0.5]), bounds=[(0, None), (None, None), (0, 3)])
    return PlaceCalibration(*map(float, found.x))


def calibration_of(data: Mapping[str, Any]) -> PoolCalibration | PlaceCalibration:
    """The calibration of these fields; TypeError for fields of neither kind."""
    if "eta" in data:
        return PlaceCalibration(**data)
    return PoolCalibration(**{**data, "weights": tuple(data["weights"])})


def _pool_facts(scaled: FloatArray, events: int, asked: bool) -> FloatArray:
    best = np.sort(softmax(scaled))[::-1][:10].sum() if len(scaled) else 0.0
    share = float(logit(np.clip(best, 0.001, 0.999)))
    return np.array([1.0, np.log1p(events), share, float(asked)])
