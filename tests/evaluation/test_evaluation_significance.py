"""The bootstrap: exact where the answer is known, and right in its coverage."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from genrec.evaluation.significance import (
    Difference,
    bootstrap_means,
    difference,
    holm,
    interval,
    jackknife_draws,
    left_out_weights,
    minimum_detectable,
    over_seeds,
    paired,
    user_weights,
)


def test_each_resample_draws_as_many_users_as_there_are():
    blocks = list(user_weights(7, resamples=50, seed=3))
    assert sum(len(block) for block in blocks) == 50
    assert all((block.sum(axis=1) == 7).all() for block in blocks)


def test_blocks_do_not_change_the_resamples(monkeypatch):
    whole = np.concatenate(list(user_weights(7, resamples=50)))
    monkeypatch.setattr("genrec.evaluation.significance.BLOCK_BYTES", 8 * 7 * 4)
    blocks = list(user_weights(7, resamples=50))
    assert max(len(block) for block in blocks) == 4
    assert (np.concatenate(blocks) == whole).all()


def test_the_seed_decides():
    values = np.arange(20.0)[:, None]
    assert (bootstrap_means(values, seed=1) == bootstrap_means(values, seed=1)).all()
    assert (bootstrap_means(values, seed=1) != bootstrap_means(values, seed=2)).any()


def test_a_constant_has_an_interval_without_width():
    low, high = interval(bootstrap_means(np.full((9, 2), 0.25)))
    assert low == pytest.approx([0.25, 0.25])
    assert high == pytest.approx([0.25, 0.25])


def test_interval_has_the_width_of_the_normal_approximation():
    values = np.random.default_rng(0).normal(size=(2000, 1))
    low, high = interval(bootstrap_means(values, resamples=4000))
    half = 1.96 * values.std() / np.sqrt(len(values))
    assert (high - low)[0] == pytest.approx(2 * half, rel=0.05)
    assert (low[0] + high[0]) / 2 == pytest.approx(values.mean(), abs=0.1 * half)


def test_pairing_finds_a_small_steady_gain_that_two_single_intervals_would_miss():
    users = np.random.default_rng(0).normal(scale=1.0, size=400)
    gain = np.random.default_rng(1).normal(0.02, 0.05, size=400)
    result = paired(users + gain, users)
    assert 0 < result.low < result.mean < result.high
    assert result.p < 0.01
    low, high = interval(bootstrap_means(np.stack([users + gain, users], axis=1)))
    assert low[0] < high[1]


@given(arrays(np.float64, 6, elements=st.floats(0, 1)), arrays(np.float64, 6, elements=st.floats(0, 1)))
def test_a_difference_turns_its_sign_when_the_systems_change_places(a, b):
    ab, ba = paired(a, b, resamples=60), paired(b, a, resamples=60)
    assert ab.mean == pytest.approx(-ba.mean)
    assert ab.low == pytest.approx(-ba.high)
    assert ab.p == pytest.approx(ba.p)
    assert 0 < ab.p <= 1


def test_p_is_the_share_of_resamples_on_the_other_side():
    resampled = np.array([-1.0, 1, 2, 3, 4, 5, 6, 7, 8])
    assert difference(4.0, resampled).p == pytest.approx(2 * (1 + 1) / 10)
    assert difference(0.0, np.zeros(9)).p == 1


def test_undefined_values_take_their_user_out():
    values = np.array([[1.0, np.nan], [3.0, 5.0], [5.0, 7.0]])
    means = bootstrap_means(values, resamples=200)
    weights = np.concatenate(list(user_weights(3, resamples=200)))
    assert means[:, 0] == pytest.approx(weights @ values[:, 0] / 3)
    others = weights[:, 1:].sum(axis=1)
    expected = np.where(others > 0, weights[:, 1:] @ values[1:, 1] / np.maximum(others, 1), np.nan)
    assert means[:, 1] == pytest.approx(expected, nan_ok=True)
    low, high = interval(means)
    assert np.isfinite([low, high]).all()
    assert paired(values[:, 1], values[:, 0]).mean == 2
    assert math.isnan(paired(np.full(3, np.nan), values[:, 0]).p)


def test_what_could_have_been_seen_by_hand():
    # z(.975) = 1.95996, z(.8) = .84162.
    assert minimum_detectable(0.01) == pytest.approx(0.0280158, abs=1e-7)
    assert minimum_detectable(0.01, power=0.5) == pytest.approx(0.0195996, abs=1e-7)
    seen = Difference(mean=0.014, low=0, high=0, p=1, se=0.01)
    # Twice as large a difference would have been needed, so four times as many users.
    assert seen.users_needed(500) == math.ceil(500 * (0.0280158 / 0.014) ** 2)
    assert Difference(-0.014, 0, 0, 1, 0.01).users_needed(500) == seen.users_needed(500)
    assert Difference(0.0, 0, 0, 1, 0.01).users_needed(500) is None
    assert Difference(0.2, 0, 0, 1, 0.0).users_needed(500) == 1


def test_the_standard_error_is_that_of_the_paired_difference():
    generator = np.random.default_rng(0)
    a, b = generator.normal(size=(2, 900))
    found = paired(a, b, resamples=4000)
    assert found.se == pytest.approx((a - b).std() / 30, rel=0.04)
    assert found.detectable == minimum_detectable(found.se)


def test_the_detectable_difference_is_found_four_times_in_five():
    generator, found = np.random.default_rng(0), 0
    effect = minimum_detectable(1 / np.sqrt(100))
    for run in range(200):
        found += paired(generator.normal(effect, 1, 100), np.zeros(100), resamples=200, seed=run).p < 0.05
    assert found / 200 == pytest.approx(0.8, abs=0.08)


def test_holm_by_hand():
    # .01 * 4, then .03 * 3, then .04 * 2 which may not be smaller than the one before, then .5.
    assert holm([0.04, 0.01, 0.5, 0.03]) == pytest.approx([0.09, 0.04, 0.5, 0.09])
    assert holm([0.02]) == [0.02]
    assert holm([]) == []
    assert holm([0.6, 0.7]) == [1, 1]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_lies_between_p_and_bonferroni_and_keeps_the_order(p):
    adjusted = holm(p)
    assert all(one <= after <= min(1, len(p) * one) + 1e-12 for one, after in zip(p, adjusted, strict=True))
    order = sorted(range(len(p)), key=lambda test: p[test])
    assert [adjusted[test] for test in order] == sorted(adjusted)


def test_holm_holds_the_error_of_the_family_which_single_tests_do_not():
    generator, any_single, any_adjusted, runs = np.random.default_rng(0), 0, 0, 300
    for run in range(runs):
        # Six systems without any difference, over the same users.
        values = generator.normal(size=(60, 1)) + generator.normal(size=(60, 6))
        deltas = values[:, 1:] - values[:, :1]
        draws = bootstrap_means(deltas, resamples=300, seed=run)
        p = [difference(float(deltas[:, test].mean()), draws[:, test]).p for test in range(5)]
        any_single += min(p) < 0.05
        any_adjusted += min(holm(p)) < 0.05
    assert any_single / runs > 0.12
    assert any_adjusted / runs < 0.08


def test_seeds_are_averaged_within_users():
    values = np.array([[[1.0], [2.0], [np.nan]], [[3.0], [2.0], [5.0]]])
    by_user, by_seed = over_seeds(values)
    assert by_user.tolist() == [[2], [2], [5]]
    assert by_seed == pytest.approx(np.array([[1.5], [10 / 3]]))


def test_every_part_is_left_out_once(monkeypatch):
    assert np.concatenate(list(left_out_weights(4))).sum(axis=0).tolist() == [3, 3, 3, 3]
    many = np.concatenate(list(left_out_weights(1000)))
    assert many.shape == (200, 1000)
    assert (many.sum(axis=0) == 199).all()
    assert (many.sum(axis=1) == 995).all()
    monkeypatch.setattr("genrec.evaluation.significance.BLOCK_BYTES", 8 * 1000 * 7)
    assert (np.concatenate(list(left_out_weights(1000))) == many).all()


def test_the_jackknife_of_a_mean_is_its_bootstrap():
    values = np.random.default_rng(0).normal(size=150)
    left_out = np.concatenate([weights @ values / 149 for weights in left_out_weights(150)])
    draws = jackknife_draws(values.mean(keepdims=True), left_out[:, None], resamples=4000)
    assert draws.mean() == pytest.approx(values.mean(), abs=0.01)
    assert draws.std() == pytest.approx(values.std(ddof=1) / np.sqrt(150), rel=0.05)


def test_the_interval_of_coverage_is_honest_where_a_bootstrap_of_users_is_not():
    generator, users, items = np.random.default_rng(0), 150, 300
    chances = 1 / np.arange(1, items + 1) ** 1.5
    chances /= chances.sum()

    def covered(shown, weights):
        return np.array([len(np.unique(shown[weight > 0])) / items for weight in weights])

    lists = [generator.choice(items, (users, 3), p=chances) for _ in range(60)]
    values = np.array([covered(shown, np.ones((1, users)))[0] for shown in lists])
    inside = plain = 0
    for shown, value in zip(lists, values, strict=True):
        left_out = np.concatenate([covered(shown, weights) for weights in left_out_weights(users)])
        low, high = interval(jackknife_draws(np.array([value]), left_out[:, None], resamples=300))
        inside += low[0] <= values.mean() <= high[0]
        low, high = interval(np.concatenate([covered(shown, block) for block in user_weights(users, 100)])[:, None])
        plain += low[0] <= values.mean() <= high[0]
    assert inside / 60 > 0.9
    assert plain / 60 < 0.5
