"""Losses against values computed by hand."""

from __future__ import annotations

import math

import pytest
import torch

from genrec.training.losses import SlateLoss, calibration, listwise

PRESENT = torch.tensor([[True, True, True], [True, True, False]])


def test_listwise_is_the_cross_entropy_of_softmax_over_those_present() -> None:
    scores = torch.tensor([[0.0, 0.0, 0.0], [math.log(3), 0.0, 99.0]])
    target = torch.tensor([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0]])
    expected = [math.log(3), 0.5 * math.log(4 / 3) + 0.5 * math.log(4)]
    assert listwise(scores, target, PRESENT).tolist() == pytest.approx(expected, rel=1e-6)


def test_calibration_is_the_mean_binary_cross_entropy_of_yes() -> None:
    scores = torch.tensor([[math.log(3), 0.0, 0.0], [0.0, 0.0, 5.0]])
    target = torch.tensor([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0]])
    expected = [(math.log(4 / 3) + 2 * math.log(2)) / 3, math.log(2)]
    assert calibration(scores, target, PRESENT).tolist() == pytest.approx(expected, rel=1e-6)


def test_padding_leaves_no_trace_in_the_gradients() -> None:
    scores = torch.tensor([[1.0, 2.0, 1e4], [0.5, -0.5, -1e4]], requires_grad=True)
    target = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    present = torch.tensor([[True, True, False], [True, True, False]])
    SlateLoss(calibration=0.5)(scores, target, present, torch.zeros(2, 3), yes_no=True).sum().backward()
    assert scores.grad is not None
    assert scores.grad[:, 2].tolist() == [0.0, 0.0]
    assert scores.grad.isfinite().all()


def test_an_offset_is_added() -> None:
    scores, offset = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 2.0]])
    target, present = torch.tensor([[1.0, 0.0]]), torch.tensor([[True, True]])
    loss = SlateLoss()(scores, target, present, offset, yes_no=True)
    assert loss.item() == pytest.approx(math.log(1 + math.e), rel=1e-6)


def test_calibration_pulls_scores_to_probabilities_that_a_listwise_loss_leaves_free() -> None:
    target, present = torch.tensor([[1.0, 0.0]]), torch.tensor([[True, True]])
    apart = torch.tensor([[5.0, 4.0]]), torch.tensor([[0.5, -0.5]])
    for weight, equal in ((0.0, True), (0.1, False)):
        loss = SlateLoss(weight)
        costs = [loss(scores, target, present, torch.zeros(1, 2), yes_no=True).item() for scores in apart]
        assert (costs[0] == pytest.approx(costs[1], rel=1e-5)) is equal


def test_logits_of_labels_are_not_calibrated() -> None:
    scores, target = torch.tensor([[7.0, 7.0]]), torch.tensor([[1.0, 0.0]])
    present, offset = torch.tensor([[True, True]]), torch.zeros(1, 2)
    labels = SlateLoss(calibration=0.5)(scores, target, present, offset, yes_no=False)
    assert labels.item() == pytest.approx(math.log(2), rel=1e-6)
