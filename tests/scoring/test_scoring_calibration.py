import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genrec.scoring.calibration import (
    Calibration,
    auc,
    expected_calibration_error,
    fit_calibration,
    fit_isotonic,
    fit_logistic,
    fit_platt,
    log_loss,
    to_logit,
)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_auc_counts_pairs_and_half_of_ties():
    # Pairs (positive, negative): .8>.8 tie, .8>.1, .3<.8, .3>.1: (0.5 + 1 + 0 + 1) / 4.
    assert auc([1, 0, 1, 0], [0.8, 0.8, 0.3, 0.1]) == 0.625


def test_auc_of_one_class_is_not_a_number():
    assert math.isnan(auc([1, 1], [0.1, 0.2]))


def test_log_loss_by_hand():
    expected = -(math.log(0.9) + math.log(1 - 0.2)) / 2
    assert log_loss([1, 0], [0.9, 0.2]) == pytest.approx(expected)


def test_log_loss_of_a_certain_mistake_is_finite():
    assert log_loss([0], [1.0]) == pytest.approx(-math.log(1e-7), rel=1e-6)


def test_calibration_error_by_hand():
    # Sorted: .1 .2 | .6 .9. Gaps |0 - .15| and |.5 - .75|, each half of the rows.
    assert expected_calibration_error([1, 0, 0, 0], [0.9, 0.1, 0.6, 0.2], bins=2) == pytest.approx(
        0.5 * 0.15 + 0.5 * 0.25
    )


def test_calibration_error_with_more_bins_than_rows_is_the_mean_gap():
    assert expected_calibration_error([1, 0], [0.7, 0.4], bins=15) == pytest.approx((0.3 + 0.4) / 2)


def test_measures_of_nothing_are_not_numbers():
    assert math.isnan(log_loss([], []))
    assert math.isnan(expected_calibration_error([], []))


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 1)), min_size=1, max_size=60))
def test_auc_is_turned_around_by_turning_scores_around(rows):
    labels, p = np.array([row[0] for row in rows], float), np.array([row[1] for row in rows])
    if 0 < labels.sum() < len(labels):
        assert auc(labels, p) + auc(labels, -p) == pytest.approx(1)


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 1)), min_size=1, max_size=60), st.integers(1, 20))
def test_calibration_error_lies_between_zero_and_one(rows, bins):
    assert 0 <= expected_calibration_error([row[0] for row in rows], [row[1] for row in rows], bins) <= 1


def test_platt_finds_slope_and_intercept():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, 40_000)
    labels = (rng.uniform(size=40_000) < sigmoid(0.5 * logits - 1)).astype(float)
    fitted = fit_platt(logits, labels)
    assert (fitted.slope, fitted.intercept) == (pytest.approx(0.5, abs=0.03), pytest.approx(-1, abs=0.05))


def test_platt_never_turns_an_order_around():
    fitted = fit_platt(np.array([-1.0, 1.0] * 50), np.array([1.0, 0.0] * 50))
    assert fitted.slope == 0


def test_isotonic_pools_by_hand():
    # Labels along the logits 0 1 0 1: the middle two are pooled to 1/2; each block is smoothed by one row of 1/2.
    fitted = fit_isotonic(np.array([0.0, 1.0, 2.0, 3.0]), np.array([0.0, 1.0, 0.0, 1.0]))
    assert fitted.x == pytest.approx((0, 1.5, 3))
    assert fitted.y == pytest.approx((0.25, 0.5, 0.75))


def test_calibration_prefers_what_fits():
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 2, 5000)
    smooth = (rng.uniform(size=5000) < sigmoid(logits)).astype(float)
    step = (rng.uniform(size=5000) < np.where(logits > 1, 0.6, 0.4)).astype(float)
    assert fit_calibration(logits, smooth).kind == "platt"
    assert fit_calibration(logits, step).kind == "isotonic"


@pytest.mark.parametrize("labels", [np.zeros(0), np.ones(30), np.zeros(400)])
def test_calibration_of_hopeless_labels_is_finite_and_inside(labels):
    p = fit_calibration(np.linspace(-3, 3, len(labels)), labels)(np.array([-1e6, 0.0, 1e6]))
    assert ((p > 0) & (p < 1)).all()


@given(st.sampled_from(["platt", "isotonic"]), st.lists(st.floats(-50, 50), min_size=2, max_size=20))
def test_calibration_is_monotone_and_survives_json(kind, logits):
    calibration = Calibration(kind, 1.5, -0.2, (-1.0, 0.0, 2.0), (0.1, 0.4, 0.9))
    again = Calibration.from_json(json.loads(json.dumps(calibration.to_json())))
    p = again(np.sort(np.array(logits)))
    assert (np.diff(p) >= 0).all()
    np.testing.assert_array_equal(p, calibration(np.sort(np.array(logits))))


def test_logistic_regression_finds_the_weights():
    rng = np.random.default_rng(2)
    x = rng.normal(size=(30_000, 2))
    labels = (rng.uniform(size=30_000) < sigmoid(x @ [1.0, -2.0] + 0.5)).astype(float)
    fitted = fit_logistic(x, labels)
    np.testing.assert_allclose([*fitted.weights, fitted.intercept], [1, -2, 0.5], atol=0.06)


def test_logits_of_certainty_are_finite():
    assert np.isfinite(to_logit([0.0, 1.0])).all()
    assert to_logit([0.5])[0] == 0


def test_equal_probabilities_have_no_order() -> None:
    labels = np.repeat([0.0, 1.0], 15)
    assert expected_calibration_error(labels, np.full(30, 0.5)) == pytest.approx(0.0)
    assert expected_calibration_error(labels, np.full(30, 0.7)) == pytest.approx(0.2)
