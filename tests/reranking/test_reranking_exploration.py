"""The probabilities that exploring policies log are those with which they draw."""

import itertools
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reranking_factories import context, ids, shown, slate

from genrec.domain import DroppedItem
from genrec.errors import SettingsError
from genrec.reranking.exploration import (
    DEEPEST,
    epsilon_greedy,
    odds_of,
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


def drawn_list(p_click, k, temperature, request_id, stages=("exploration",)):
    """What the stages make of a logged list, and the odds of its first k items."""
    settings = {"exploration": {"temperature": temperature}, "reranking": {"stages": stages}}
    made = context(slate(**dict.fromkeys(p_click, 1.0)), list(p_click.values()), k=k, settings=settings)
    found = shown(replace(made, request_id=request_id, is_logged=True))
    return found, odds_of(found, k)


P = {"a": 0.6, "b": 0.3, "c": 0.1}


def test_explored_lists_come_as_often_as_they_say():
    counts, odds = Counter(), {}
    for number in range(3_000):
        found, drawn = drawn_list(P, 2, 1.0, f"rec-{number}")
        shown_ids = tuple(ids(found)[:2])
        counts[shown_ids] += 1
        odds[shown_ids] = drawn.prefix[-1]
    # Temperature 1 is the softmax of log P(click), which is P(click): a, then b of what is left.
    assert odds["a", "b"] == pytest.approx(0.6 * 0.3 / 0.4)
    assert sum(odds.values()) == pytest.approx(1.0)
    assert {pair: count / 3_000 for pair, count in counts.items()} == pytest.approx(odds, abs=0.03)


class DropsA:
    """A rule of an outsider that takes out one item for what it is."""

    name = "drops a"

    def rerank(self, ranked, context):
        return ranked.without({"a": "not this one"}, self.name)


class Reverses:
    """A stage that moves items."""

    name = "reverses"

    def rerank(self, ranked, context):
        return ranked.reordered(ranked.items[::-1], "reversed")


def test_the_odds_are_right_where_a_later_stage_drops_what_was_drawn():
    counts, odds = Counter(), {}
    for number in range(3_000):
        found, drawn = drawn_list(P, 1, 1.0, f"rec-{number}", ("exploration", f"{__name__}.DropsA"))
        first = ids(found)[0]
        counts[first] += 1
        odds[first] = drawn.place[0]
    assert odds == pytest.approx({"b": 0.75, "c": 0.25})
    assert {one: count / 3_000 for one, count in counts.items()} == pytest.approx(odds, abs=0.03)
    assert found.dropped == (DroppedItem("a", "not this one", "drops a"),)


def test_what_stands_behind_exploration_may_not_move_items():
    with pytest.raises(SettingsError, match="moved items of a list that was drawn") as raised:
        drawn_list(P, 2, 1.0, "rec-1", ("exploration", f"{__name__}.Reverses"))
    assert "before exploration" in raised.value.hint


def test_the_draw_is_around_the_list_that_it_is_handed():
    counts = Counter(
        ids(drawn_list(P, 1, 0.5, f"rec-{number}", (f"{__name__}.Reverses", "exploration"))[0])[0]
        for number in range(1_000)
    )
    # The first place has .6 whatever stands there: .6^2 of .6^2 + .3^2 + .1^2.
    assert counts["c"] / 1_000 == pytest.approx(0.36 / 0.46, abs=0.04)


def test_an_explored_list_is_drawn_again_by_its_request_id_and_says_what_moved():
    p_click = {f"i{n}": p for n, p in enumerate(np.linspace(0.3, 0.01, 8))}
    found, _ = drawn_list(p_click, 5, 1.0, "rec-1")
    assert drawn_list(p_click, 5, 1.0, "rec-1")[0] == found
    assert any(ids(drawn_list(p_click, 5, 1.0, f"rec-{n}")[0]) != ids(found) for n in range(2, 6))
    places = {name: n for n, name in enumerate(p_click, start=1)}
    for new, one in enumerate(found.items, start=1):
        old = places[one.id]
        assert one.moved == (() if old == new else (f"drawn at random: from {old} to {new}",))


@pytest.mark.parametrize(("n", "k", "reached"), [(120, 10, DEEPEST), (120, 60, 60), (4, 10, 4)])
def test_items_far_behind_are_not_explored(n, k, reached):
    p_click = {f"i{number:03}": 0.5 for number in range(n)}
    drawn = [drawn_list(p_click, k, 1.0, f"rec-{number}") for number in range(20 if k < 60 else 1)]
    assert max(int(one.id[1:]) for found, _ in drawn for one in found.items) < reached
    assert drawn[0][1].prefix[0] == pytest.approx(1 / reached)
    assert len(drawn[0][0].dropped) == n - reached


def test_a_cold_temperature_shows_the_order_itself():
    found, drawn = drawn_list(P, 3, 1e-3, "rec-1")
    assert ids(found) == ["a", "b", "c"]
    assert drawn.prefix == pytest.approx([1, 1, 1])


@pytest.mark.parametrize("more", [{"is_logged": False}, {"policy": "annotate"}, {"policy": "veto"}])
def test_only_logged_lists_of_fuse_are_drawn(more):
    settings = {"exploration": {"temperature": 5.0}}
    made = context(slate(a=3.0, b=2.0, c=1.0), settings=settings, **{"is_logged": True, **more})
    found = shown(made)
    assert (found.utilities, ids(found)) == (None, ["a", "b", "c"])
    assert odds_of(found, 3) is None


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
