"""The probabilities that exploring policies log are those with which they draw."""

import itertools
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genrec.domain import Item, RecommendedItem
from genrec.reranking.exploration import (
    DEEPEST,
    epsilon_greedy,
    explored,
    plackett_luce,
    plackett_luce_places,
    plackett_luce_prefixes,
)

UTILITIES = st.lists(st.floats(-5, 5), min_size=1, max_size=5)


def test_plackett_luce_by_hand():
    utilities = np.log([3.0, 2.0, 1.0])
    assert plackett_luce_prefixes(utilities, np.array([0, 2])) == pytest.approx([1 / 2, 1 / 2 * 1 / 3])
    assert plackett_luce_prefixes(utilities, np.array([1, 0, 2])) == pytest.approx([1 / 3, 1 / 3 * 3 / 4, 1 / 4])
    second = [2 / 6 * 3 / 4 + 1 / 6 * 3 / 5, 3 / 6 * 2 / 3 + 1 / 6 * 2 / 5, 3 / 6 * 1 / 3 + 2 / 6 * 1 / 4]
    assert plackett_luce_places(utilities, 2) == pytest.approx(np.column_stack([[1 / 2, 1 / 3, 1 / 6], second]))


@given(UTILITIES, st.integers(1, 5))
def test_places_are_the_sums_over_all_lists(utilities, k):
    k = min(k, len(utilities))
    summed, total = np.zeros((len(utilities), k)), 0.0
    for order in itertools.permutations(range(len(utilities)), k):
        p = plackett_luce_prefixes(utilities, np.array(order))[-1]
        summed[order, np.arange(k)] += p
        total += p
    assert total == pytest.approx(1.0)
    assert plackett_luce_places(utilities, k) == pytest.approx(summed, abs=1e-9)


def test_places_stay_exact_for_far_scores_and_many_items():
    places = plackett_luce_places(np.linspace(-30, 30, 40), 40)
    assert places.sum(axis=0) == pytest.approx(np.ones(40))
    assert places.sum(axis=1) == pytest.approx(np.ones(40))


def frequencies(draw, n, k, times=6_000):
    """How often each item was drawn at each place, and each list."""
    generator = np.random.default_rng(0)
    seen, lists = np.zeros((n, k)), {}
    for _ in range(times):
        drawn = draw(generator)
        seen[drawn.order, np.arange(k)] += 1 / times
        count, logged = lists.get(tuple(drawn.order), (0, drawn))
        lists[tuple(drawn.order)] = (count + 1, logged)
    return seen, {order: (count / times, drawn) for order, (count, drawn) in lists.items()}


POLICIES = {
    "plackett_luce": lambda generator: plackett_luce([2.0, 1.0, 0.5, 0.0], 3, 2.0, generator),
    "epsilon_greedy": lambda generator: epsilon_greedy(4, 3, 0.4, generator),
}


@pytest.mark.parametrize("name", POLICIES)
def test_what_is_logged_is_what_is_drawn(name):
    seen, lists = frequencies(POLICIES[name], 4, 3)
    assert len(lists) == 24  # every list can be shown
    begun = {}
    for order, (share, _) in lists.items():
        for length in range(1, 4):
            begun[order[:length]] = begun.get(order[:length], 0.0) + share
    for order, (_, drawn) in lists.items():
        assert drawn.place == pytest.approx(seen[order, np.arange(3)], abs=0.022)
        assert drawn.prefix == pytest.approx([begun[order[:length]] for length in (1, 2, 3)], abs=0.022)


def test_epsilon_greedy_by_hand():
    shown = epsilon_greedy(4, 2, 0.0, np.random.default_rng(0))
    assert (shown.order.tolist(), shown.place.tolist(), shown.prefix.tolist()) == ([0, 1], [1.0, 1.0], [1.0, 1.0])
    drawn = next(
        drawn
        for seed in range(100)
        if (drawn := epsilon_greedy(4, 2, 0.4, np.random.default_rng(seed))).order.tolist() == [0, 3]
    )
    assert drawn.place == pytest.approx([0.6 + 0.1, 0.1])
    assert drawn.prefix == pytest.approx([0.6 + 0.1, 0.4 / 12])


def lines(*scores):
    """An answer in the order of its scores."""
    return tuple(
        RecommendedItem(Item(f"i{place}", ""), place + 1, score, None, None, 0.0) for place, score in enumerate(scores)
    )


def test_explored_answers_come_as_often_as_they_say():
    items = lines(1.0, 0.4, 0.0)
    counts, odds = Counter(), {}
    for number in range(3_000):
        shown, drawn = explored(items, 2, 0.7, f"rec-{number}")
        ids = tuple(line.item.id for line in shown)
        counts[ids] += 1
        odds[ids] = drawn.prefix[-1]
    assert len(odds) == 6
    assert sum(odds.values()) == pytest.approx(1.0)
    assert {ids: count / 3_000 for ids, count in counts.items()} == pytest.approx(odds, abs=0.03)


def test_an_explored_answer_is_the_old_lines_with_new_ranks():
    items = lines(*np.linspace(1, 0, 8))
    shown, drawn = explored(items, 5, 1.0, "rec-1")
    assert [line.rank for line in shown] == [1, 2, 3, 4, 5]
    assert [replace(line, rank=items[place].rank) for line, place in zip(shown, drawn.order, strict=True)] == [
        items[place] for place in drawn.order
    ]
    again, _ = explored(items, 5, 1.0, "rec-1")
    assert again == shown
    assert any(explored(items, 5, 1.0, f"rec-{number}")[0] != shown for number in range(2, 6))


@pytest.mark.parametrize(("n", "k", "reached"), [(120, 10, DEEPEST), (120, 60, 60), (4, 10, 4)])
def test_items_far_behind_are_not_explored(n, k, reached):
    drawn = [explored(lines(*[0.0] * n), k, 1.0, f"rec-{number}")[1] for number in range(20 if k < 60 else 1)]
    assert max(max(one.order) for one in drawn) < reached
    assert drawn[0].prefix[0] == pytest.approx(1 / reached)


def test_a_cold_temperature_shows_the_order_itself():
    shown, drawn = explored(lines(3.0, 2.0, 1.0), 3, 1e-3, "rec-1")
    assert [line.rank for line in shown] == [1, 2, 3]
    assert drawn.order.tolist() == [0, 1, 2]
    assert drawn.prefix == pytest.approx([1, 1, 1])


def test_odds_too_small_for_a_number_are_not_zero():
    class Reversed:
        """Noise that turns the order around."""

        def gumbel(self, size):
            return np.linspace(0, 1e6, size)

    drawn = plackett_luce([5.0, 0.0], 2, 1e-3, Reversed())
    assert drawn.order.tolist() == [1, 0]
    assert np.all(drawn.prefix > 0)
    assert np.all(drawn.place > 0)


@pytest.mark.parametrize("k", [1, 3, 9])
def test_a_list_has_no_more_items_than_there_are(k):
    generator = np.random.default_rng(0)
    for drawn in (plackett_luce([1.0, 0.0, 3.0], k, 1.0, generator), epsilon_greedy(3, k, 0.5, generator)):
        assert len(set(drawn.order.tolist())) == len(drawn.order) == len(drawn.place) == len(drawn.prefix) == min(k, 3)


@given(st.lists(st.floats(-50, 50), min_size=1, max_size=8), st.floats(0.01, 10), st.integers(0, 1000))
def test_logged_propensities_are_probabilities(scores, temperature, seed):
    drawn = plackett_luce(scores, 5, temperature, np.random.default_rng(seed))
    assert np.all(drawn.prefix > 0)
    assert np.all(drawn.place <= 1)
    assert np.all(np.diff(drawn.prefix) <= 1e-12)
    assert np.all(drawn.place >= drawn.prefix)
