"""The bootstrap: exact where the answer is known, and right in its coverage."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from genrec.evaluation.significance import bootstrap_means, difference, interval, paired, user_weights


def test_each_resample_draws_as_many_users_as_there_are():
    blocks = list(user_weights(7, resamples=50, seed=3))
    assert sum(len(block) for block in blocks) == 50
    assert all((block.sum(axis=1) == 7).all() for block in blocks)


def test_blocks_do_not_change_the_resamples(monkeypatch):
    whole = np.concatenate(list(user_weights(7, resamples=50)))
    monkeypatch.setattr("genrec.evaluation.significance._BLOCK_BYTES", 8 * 7 * 4)
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
