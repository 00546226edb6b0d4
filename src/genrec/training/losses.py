"""What a slate costs: listwise cross-entropy, and a term that keeps yes-minus-no a probability.

Listwise softmax: Cao et al. 2007 (ListNet, top one) with the target as the distribution wanted; label cross-entropy of
a single-pass reading is the same function over the logits of the labels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def listwise(scores: Tensor, target: Tensor, present: Tensor) -> Tensor:
    """Cross-entropy [B] between target [B, n] and softmax(scores [B, n]) over the candidates that are `present`.

    In nats; log(n) for equal scores and a one-hot target.
    """
    log_probs = scores.masked_fill(~present, -torch.inf).log_softmax(-1)
    return -(target * log_probs.masked_fill(~present, 0.0)).sum(-1)


def calibration(scores: Tensor, target: Tensor, present: Tensor) -> Tensor:
    """Mean binary cross-entropy [B] of P(yes) = sigmoid(score) against the share of the target that each candidate has.

    A one-hot target makes the chosen candidate a click and the others none; a soft one spreads the one click.
    """
    losses = nn.functional.binary_cross_entropy_with_logits(scores, target, reduction="none")
    return (losses * present).sum(-1) / present.sum(-1)


class SlateLoss(nn.Module):  # type: ignore[misc]
    """Listwise loss of offset + scores, plus `calibration` times the binary cross-entropy of the scores."""

    def __init__(self, calibration: float = 0.0) -> None:
        super().__init__()
        self.calibration = calibration

    def forward(self, scores: Tensor, target: Tensor, present: Tensor, offset: Tensor, *, yes_no: bool) -> Tensor:
        """Losses [B]; `offset` [B, n] is zero where slates have none. Logits of labels, not `yes_no`, are no
        probabilities: they are not calibrated.
        """
        losses = listwise(self.combined(scores, offset), target, present)
        if self.calibration and yes_no:
            losses = losses + self.calibration * calibration(scores, target, present)
        return losses

    def combined(self, scores: Tensor, offset: Tensor) -> Tensor:
        """Offset + scores [B, n]: what orders the candidates."""
        return offset + scores
