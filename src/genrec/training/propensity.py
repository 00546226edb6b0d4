"""Inverse propensities: what was likely to be seen anyway counts less."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from genrec.data.interactions import FloatArray


def popularity_weights(target_counts: npt.NDArray[np.number], power: float = 0.5, most: float = 10.0) -> FloatArray:
    """Weights [P] of examples by the popularity [P] of their targets: 1/p with p proportional to count^power.

    Propensities estimated from popularity as in Schnabel et al. 2016 (Recommendations as Treatments). Clipped at `most`
    times the smallest weight, against variance, then scaled to mean 1. Power 0 gives equal weights.
    """
    return normalised(np.maximum(np.asarray(target_counts, dtype=np.float64), 1.0) ** -power, most)


def position_weights(ranks: npt.NDArray[np.number], eta: float = 1.0, most: float = 10.0) -> FloatArray:
    """Weights [P] of clicks by the rank [P] (from 1) at which they were shown: 1/p with p = 1 / rank^eta.

    Joachims, Swaminathan, Schnabel 2017 (Unbiased Learning-to-Rank with Biased Feedback). Clipped at `most` times the
    smallest weight, then scaled to mean 1. Eta 0 gives equal weights.
    """
    return normalised(np.asarray(ranks, dtype=np.float64) ** eta, most)


def normalised(weights: FloatArray, most: float) -> FloatArray:
    """Clipped at `most` times the smallest, with mean 1."""
    if not len(weights):
        return weights
    clipped = np.minimum(weights, most * weights.min())
    return np.asarray(clipped / clipped.mean())
