"""Inverse propensities by hand, and what is learned from lists that were shown."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from training_factories import log_of

from genrec.data.interactions import Interactions
from genrec.data.splits import validation_mask
from genrec.data.store import Exposure
from genrec.domain import Item
from genrec.training.exposures import ExposureSource, pairs_of
from genrec.training.propensity import popularity_weights, position_weights

ITEMS = [Item(name, f"title {name}") for name in "abcdef"]
LEARNER, HELD = "u0", next(f"u{n}" for n in range(100) if validation_mask([f"u{n}"])[0])


def test_popularity_by_hand() -> None:
    # 1/sqrt(1, 4, 100) = 1, 1/2, 1/10; mean 8/15.
    assert popularity_weights(np.array([1, 4, 100]), 0.5) == pytest.approx(np.array([1, 1 / 2, 1 / 10]) * 15 / 8)
    assert popularity_weights(np.array([1, 4, 100]), 0.5, most=2) == pytest.approx(np.array([2, 2, 1]) * 3 / 5)
    assert popularity_weights(np.array([1, 4, 100]), 0.0).tolist() == [1, 1, 1]
    # An item that nobody has touched counts as touched once.
    assert popularity_weights(np.array([0, 1])).tolist() == [1, 1]
    assert len(popularity_weights(np.array([]))) == 0


def test_position_by_hand() -> None:
    assert position_weights(np.array([1, 2, 3])) == pytest.approx(np.array([1, 2, 3]) / 2)
    assert position_weights(np.array([1, 4]), 0.5) == pytest.approx(np.array([1, 2]) / 1.5)
    assert position_weights(np.array([1, 50]), most=3) == pytest.approx(np.array([1, 3]) / 2)


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=50), st.floats(0, 2), st.floats(1, 100))
def test_weights_have_mean_one_fall_with_popularity_and_keep_the_bound(
    counts: list[int], power: float, most: float
) -> None:
    weights = popularity_weights(np.array(counts), power, most)
    assert weights.mean() == pytest.approx(1.0)
    assert (np.diff(weights[np.argsort(counts, kind="stable")]) <= 1e-12).all()
    assert weights.max() <= most * weights.min() * (1 + 1e-9)


def log() -> Interactions:
    """Both users did a, b (before the lists are shown at 10) and click c and e afterwards."""
    times = {"a": 1.0, "b": 2.0, "c": 11.0, "e": 12.0}
    rows = [(user, item, time) for user in (LEARNER, HELD) for item, time in times.items()]
    return log_of(rows, [item.id for item in ITEMS])


def shown(user: str | None = LEARNER, items: str = "dcxef", time: float = 10.0) -> Exposure:
    return Exposure(f"r-{user}-{items}", user, tuple(items), time)


def test_a_list_with_clicks_is_an_example() -> None:
    source = ExposureSource(log(), ITEMS, [(shown(), {"c", "e"})], eta=1.0)
    (example,) = [source.example(0, index, 0.0) for index in range(len(source))]
    assert example.history.item_ids() == ("a", "b")
    assert [candidate.item.id for candidate in example.candidates.items] == ["d", "c", "e", "f"]
    # Shown at ranks 2 and 4: x, which the catalogue does not know, keeps its place.
    assert example.target == pytest.approx(np.array([0, 2, 4, 0]) / 6)
    assert example.weight == 1.0
    plain = ExposureSource(log(), ITEMS, [(shown(), {"c", "e"})]).example(0, 0, 0.0)
    assert plain.target.tolist() == [0, 0.5, 0.5, 0]


def test_weights_of_lists_are_the_sums_of_their_clicks() -> None:
    lists = [(shown(), {"c", "e"}), (shown(items="cdf"), {"c"})]
    source = ExposureSource(log(), ITEMS, lists, eta=1.0)
    weights = [source.example(0, index, 0.0).weight for index in range(2)]
    assert weights == pytest.approx([6 / 3.5, 1 / 3.5])


def test_lists_that_teach_nothing_or_must_not_are_left_out() -> None:
    def count(*lists: tuple[Exposure, set[str]], **options: bool) -> int:
        return len(ExposureSource(log(), ITEMS, lists, **options))  # type: ignore[arg-type]

    assert count((shown(), {"c"})) == 1
    assert count((shown(), set())) == 0
    assert count((shown(items="ce"), {"c", "e"})) == 0
    assert count((shown(None), {"c"})) == 0
    assert count((shown("stranger"), {"c"})) == 0
    # A click that the training part does not hold: d was never done, c not after 11.5.
    assert count((shown(), {"d"})) == 0
    assert count((shown(time=11.5), {"c"})) == 0
    assert count((shown(HELD), {"c"})) == 0
    assert count((shown(HELD), {"c"}), (shown(), {"c"}), validation=True) == 1


def test_a_click_is_preferred_to_what_was_skipped_above() -> None:
    source = ExposureSource(log(), ITEMS, [(shown(items="dfbcae"), {"c", "e"})])
    pairs = [pair for index in range(len(source)) for pair in pairs_of(source.example(0, index, 1.0), 2)]
    assert [(pair.chosen, pair.rejected) for pair in pairs] == [(3, 2), (3, 1), (5, 4), (5, 2)]
    assert [pair.weight for pair in pairs] == [0.5] * 4
    assert len(pairs_of(pairs[0].example, most=10)) == 3 + 4
