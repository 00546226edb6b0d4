"""Estimators against values computed by hand, and against bandits whose truth is known."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genrec.errors import DataError, NotFoundError, SettingsError
from genrec.evaluation.offpolicy import base, judge, support
from genrec.evaluation.offpolicy.reward_model import STRENGTH, click_rates, cross_fitted
from genrec.evaluation.offpolicy.rounds import Rounds, importance, owners
from genrec.reranking.exploration import plackett_luce_places, plackett_luce_prefixes

TWO_LISTS = Rounds(
    reward=np.array([[1.0, 0.0], [0.0, 2.0]]),
    owner=np.array([0, 1]),
    place=np.array([[2.0, 0.5], [1.0, 3.0]]),
    prefix=np.array([[2.0, 1.0], [1.0, 3.0]]),
    predicted=np.array([[0.5, 0.25], [0.25, 0.5]]),
    expected=np.array([[0.1, 0.2], [0.3, 0.4]]),
)
BY_HAND = {
    "ips": (1 * 1 + 3 * 2) / 2,
    "snips": (1 * 1 + 3 * 2) / (1 + 3),
    "independent_ips": ((2 * 1 + 0.5 * 0) + (1 * 0 + 3 * 2)) / 2,
    "independent_snips": 2 / (2 + 1) + 6 / (0.5 + 3),
    "reward_interaction_ips": ((2 * 1 + 1 * 0) + (1 * 0 + 3 * 2)) / 2,
    "reward_interaction_snips": 2 / (2 + 1) + 6 / (1 + 3),
    "doubly_robust": (0.1 + 2 * 0.5 + 0.2 - 0.5 * 0.25 + 0.3 - 1 * 0.25 + 0.4 + 3 * 1.5) / 2,
}


def value(name, rounds):
    return base.ESTIMATORS.find(name).terms(rounds).estimate()


def single(reward, weight, **model):
    column = np.array(weight, dtype=float)[:, None]
    rewards = np.array(reward, dtype=float)[:, None]
    return Rounds(rewards, np.arange(len(reward)), column, column, **model)


# By hand


def test_every_estimator_has_a_value_by_hand_here():
    assert set(BY_HAND) == set(base.ESTIMATORS.names())


@pytest.mark.parametrize("name", ["oracle", "shop.estimators.oracle", "ips.terms", ""])
def test_a_wrong_name_is_answered_with_all_names(name):
    with pytest.raises(NotFoundError, match="there is no estimator") as raised:
        judge.judged({"new": TWO_LISTS}, None, 0, [name])
    assert ", ".join(sorted(BY_HAND)) in raised.value.hint


MINE = """
from genrec.evaluation.offpolicy.base import Terms, needed
DEFINITION = "clicks on the first place, by its weight"
NEEDS = ("reward", "place")
def terms(rounds):
    reward, place = needed(rounds, NEEDS)
    return Terms.plain(place[:, 0] * reward[:, 0])
"""


def test_an_estimator_of_ones_own_is_named_by_its_dotted_path(tmp_path, monkeypatch):
    (tmp_path / "shop_of_estimators").mkdir()
    (tmp_path / "shop_of_estimators" / "first.py").write_text(MINE)
    monkeypatch.syspath_prepend(tmp_path)
    name = "shop_of_estimators.first"
    result = judge.judged({"new": TWO_LISTS}, None, 0, [name, "ips"])
    assert result["headline"] == [name, "ips"]
    assert result["systems"]["new"][name] == pytest.approx((2 * 1 + 1 * 0) / 2)
    assert result["systems"]["logged"][name] == pytest.approx((1 + 0) / 2)
    assert result["definitions"][name] == "clicks on the first place, by its weight"
    assert name not in base.usable(TWO_LISTS)


def test_an_estimator_whose_needs_the_log_does_not_meet_is_refused_by_name():
    bare = Rounds(TWO_LISTS.reward, TWO_LISTS.owner, place=TWO_LISTS.place)
    with pytest.raises(SettingsError, match="ips needs prefix") as raised:
        judge.judged({"new": bare}, None, 0, ["ips"])
    assert "independent_ips, independent_snips" in raised.value.hint


@pytest.mark.parametrize("name", BY_HAND)
def test_estimators_by_hand(name):
    assert value(name, TWO_LISTS) == pytest.approx(BY_HAND[name])


@pytest.mark.parametrize("name", BY_HAND)
def test_the_policy_that_made_the_log_has_the_mean_clicks(name):
    assert value(name, TWO_LISTS.as_logged()) == pytest.approx(1.5)


def test_with_one_place_the_forms_for_lists_are_those_for_single_actions():
    rounds = single([1, 0, 1], [2.0, 0.5, 3.0])
    for name in ("independent_ips", "reward_interaction_ips"):
        assert value(name, rounds) == pytest.approx(value("ips", rounds)) == pytest.approx(5 / 3)
    for name in ("independent_snips", "reward_interaction_snips"):
        assert value(name, rounds) == pytest.approx(value("snips", rounds)) == pytest.approx(5 / 5.5)


def test_only_estimators_whose_needs_are_met_are_usable():
    bare = Rounds(TWO_LISTS.reward, TWO_LISTS.owner, place=TWO_LISTS.place)
    assert base.usable(bare) == ["independent_ips", "independent_snips"]
    assert base.usable(TWO_LISTS) == sorted(BY_HAND)


def test_clipping_by_hand():
    clipped = TWO_LISTS.clipped(2.0)
    assert clipped.place.tolist() == [[2.0, 0.5], [1.0, 2.0]]
    assert value("ips", clipped) == pytest.approx((1 * 1 + 2 * 2) / 2)


def test_importance_by_hand_and_what_it_refuses():
    assert importance([1.0, 0.0, 0.5], [0.25, 0.5, 1.0]).tolist() == [4.0, 0.0, 0.5]
    for propensity in (0.0, -0.1, 1.1, np.nan):
        with pytest.raises(DataError, match="1 of 2 propensities"):
            importance([1.0, 1.0], [0.5, propensity])
    with pytest.raises(DataError, match="new policy"):
        importance([1.5], [0.5])


def test_lists_without_a_user_are_their_own_owners():
    assert owners(["b", None, "a", "b", None]).tolist() == [0, 1, 2, 0, 3]


def test_click_rates_by_hand():
    # Place 0: 2 clicks of 4; place 1: 1 of 2. Item 0 is shown at 0, 0, 1; item 1 at 0, 0, 1; item 2 never.
    item = np.array([0, 0, 1, 1, 0, 1, -1])
    place = np.array([0, 0, 0, 0, 1, 1, 1])
    reward = np.array([1.0, 1.0, 0.0, 0.0, 1.0, 0.0, 1.0])
    rates = click_rates(item, place, reward, 3, 2)
    factor = [(3 + STRENGTH) / (1.5 + STRENGTH), (0 + STRENGTH) / (1.5 + STRENGTH), 1.0]
    assert rates == pytest.approx(np.outer(factor, [0.5, 0.5]))


def test_no_user_is_judged_by_rates_that_saw_his_clicks():
    generator = np.random.default_rng(0)
    owner = generator.integers(0, 30, 200)
    item = owner[:, None]  # each user sees an item of their own, and clicks on it always
    folds = list(cross_fitted(item, np.zeros_like(item), np.ones((200, 1)), owner, 30, 1))
    assert np.sum([rows for rows, _ in folds], axis=0).tolist() == [1] * 200
    for rows, rates in folds:
        assert rates[item[rows, 0], 0] == pytest.approx(1.0)
    silent = np.where(owner == 7, 0.0, 1.0)[:, None]
    for rows, rates in cross_fitted(item, np.zeros_like(item), silent, owner, 30, 1):
        if rows[owner == 7].any():
            assert rates[7, 0] == pytest.approx(1.0)


# Properties


@given(
    st.lists(st.tuples(st.floats(0, 1), st.floats(0.001, 1000)), min_size=1, max_size=30),
    st.floats(0.01, 100),
)
def test_snips_stays_in_the_range_of_the_rewards(rows, limit):
    reward, weight = zip(*rows, strict=True)
    for rounds in (single(reward, weight), single(reward, weight).clipped(limit)):
        assert min(reward) - 1e-9 <= value("snips", rounds) <= max(reward) + 1e-9


@given(st.lists(st.tuples(st.booleans(), st.floats(0.001, 1000)), min_size=1, max_size=30), st.floats(0.01, 100))
def test_clipping_never_raises_ips_of_clicks(rows, limit):
    reward, weight = zip(*rows, strict=True)
    rounds = single(reward, weight)
    assert value("ips", rounds.clipped(limit)) <= value("ips", rounds) + 1e-12
    assert value("ips", rounds.clipped(max(weight))) == value("ips", rounds)


def test_an_estimate_without_any_weight_is_not_a_number_and_none_in_the_table():
    rounds = single([1, 0, 1], [0.0, 0.0, 0.0])
    assert np.isnan(value("snips", rounds))
    row = judge.policy_table({"new": rounds}, ["ips", "snips"])["new"]
    assert (row["ips"], row["ips_ci"]) == (0.0, [0.0, 0.0])
    assert (row["snips"], row["snips_ci"]) == (None, None)
    assert "snips_vs_logged" not in row


# Bandits whose truth is known

ITEMS, PLACES = 5, 3
PERMUTATIONS = np.array(list(itertools.permutations(range(ITEMS), PLACES)))
LOGGING = np.array([0.8, 0.4, 0.0, -0.4, -0.8])
TARGET = np.array([-0.5, 0.0, 0.2, 0.4, 0.3])
ATTRACTION = np.array([0.1, 0.2, 0.3, 0.5, 0.6])
EXAMINATION = np.array([1.0, 0.7, 0.4])


def by_position(lists):
    """P(click) [n, K] that depends on item and place only."""
    return ATTRACTION[lists] * EXAMINATION


def cascade(lists):
    """P(click) [n, K] that depends on the items above: the more attractive they are, the less is left."""
    above = np.cumprod(1 - ATTRACTION[lists], axis=1)
    return ATTRACTION[lists] * np.concatenate([np.ones((len(lists), 1)), above[:, :-1]], axis=1)


def from_below(lists):
    """P(click) [n, K] that depends on the last item of the list: what is below a place counts."""
    return ATTRACTION[lists] * ATTRACTION[lists[:, -1:]]


def prefixes(utilities):
    return np.stack([plackett_luce_prefixes(utilities, order) for order in PERMUTATIONS])


def truth(clicks):
    return float(prefixes(TARGET)[:, -1] @ clicks(PERMUTATIONS).sum(axis=1))


def simulated(clicks, n, seed=0, model=False):
    """n lists drawn by the logging policy, seen from the target policy; `model` adds a perfect reward model."""
    generator = np.random.default_rng(seed)
    log, new = prefixes(LOGGING), prefixes(TARGET)
    rows = generator.choice(len(PERMUTATIONS), n, p=log[:, -1] / log[:, -1].sum())
    lists, at = PERMUTATIONS[rows], np.arange(PLACES)
    probability = clicks(lists)
    ratio = plackett_luce_places(TARGET, PLACES) / plackett_luce_places(LOGGING, PLACES)
    expected = (plackett_luce_places(TARGET, PLACES) * ATTRACTION[:, None] * EXAMINATION).sum(axis=0)
    return Rounds(
        (generator.random(lists.shape) < probability).astype(float),
        np.arange(n),
        ratio[lists, at],
        (new / log)[rows],
        probability if model else None,
        np.broadcast_to(expected, lists.shape) if model else None,
    )


def simulations(name, rounds, size):
    """The estimate of each simulation of `size` lists."""
    terms = base.ESTIMATORS.find(name).terms(rounds)
    n = len(rounds) // size
    sums = [part.reshape(n, size, -1).sum(axis=1) for part in (terms.numerator, terms.denominator)]
    return (sums[0] / sums[1]).sum(axis=1)


def error(name, clicks, n=200_000):
    """Difference to the truth in standard errors."""
    found = simulations(name, simulated(clicks, n, model=True), 200)
    return abs(found.mean() - truth(clicks)) / (found.std() / np.sqrt(len(found)))


@pytest.mark.parametrize(
    ("name", "clicks"),
    [
        ("ips", by_position),
        ("ips", cascade),
        ("ips", from_below),
        ("independent_ips", by_position),
        ("doubly_robust", by_position),
        ("reward_interaction_ips", by_position),
        ("reward_interaction_ips", cascade),
    ],
)
def test_unbiased_where_the_click_model_holds(name, clicks):
    assert error(name, clicks) < 4


@pytest.mark.parametrize(("name", "clicks"), [("independent_ips", cascade), ("reward_interaction_ips", from_below)])
def test_biased_where_it_does_not(name, clicks):
    assert error(name, clicks) > 6


@pytest.mark.parametrize("name", ["snips", "independent_snips", "reward_interaction_snips"])
def test_self_normalised_estimators_are_consistent(name):
    assert value(name, simulated(by_position, 200_000)) == pytest.approx(truth(by_position), rel=0.02)


def test_the_fewer_assumptions_the_more_variance():
    rounds = simulated(by_position, 100_000, model=True)
    spread = {name: simulations(name, rounds, 200).std() for name in BY_HAND}
    assert spread["independent_ips"] < spread["reward_interaction_ips"] < spread["ips"]
    assert spread["doubly_robust"] < 0.9 * spread["independent_ips"]
    assert spread["snips"] < spread["ips"]


def test_clipping_trades_variance_for_bias():
    rounds = simulated(by_position, 100_000)
    whole, clipped = simulations("ips", rounds, 200), simulations("ips", rounds.clipped(2.0), 200)
    assert clipped.std() < 0.7 * whole.std()
    assert clipped.mean() < 0.9 * whole.mean()


@pytest.mark.parametrize("wrong", ["model", "propensities"])
def test_doubly_robust_survives_one_wrong_part(wrong):
    rounds = simulated(by_position, 200_000, model=True)
    if wrong == "model":
        rounds = Rounds(
            rounds.reward, rounds.owner, rounds.place, None, 0 * rounds.predicted + 0.9, 0 * rounds.expected + 0.9
        )
    else:
        rounds = Rounds(rounds.reward, rounds.owner, 1.3 * rounds.place, None, rounds.predicted, rounds.expected)
        assert value("independent_ips", rounds) == pytest.approx(1.3 * truth(by_position), rel=0.02)
    assert value("doubly_robust", rounds) == pytest.approx(truth(by_position), rel=0.02)


def test_intervals_cover_the_truth_as_often_as_they_say():
    covered = 0
    for seed in range(40):
        row = judge.policy_table({"new": simulated(by_position, 400, seed)}, ["independent_snips"])["new"]
        low, high = row["independent_snips_ci"]
        covered += low <= truth(by_position) <= high
    assert covered >= 34


def test_the_gain_over_the_log_is_paired_and_has_its_sign():
    row = judge.policy_table({"new": simulated(by_position, 4000)}, ["independent_ips"])["new"]
    gain = row["independent_ips_vs_logged"]
    assert gain["low"] > 0  # the target shows the attractive items first, the log last
    again = judge.policy_table({"same": simulated(by_position, 4000).as_logged()}, ["independent_ips"])["same"]
    assert again["independent_ips_vs_logged"]["mean"] == again["independent_ips_vs_logged"]["high"] == 0


def test_lists_of_one_user_are_no_new_evidence():
    once = simulated(by_position, 300)
    rows = np.repeat(np.arange(300), 4)
    copies = Rounds(once.reward[rows], once.owner[rows], once.place[rows])
    apart = Rounds(once.reward[rows], np.arange(1200), once.place[rows])

    def width(rounds):
        low, high = judge.policy_table({"new": rounds}, ["independent_ips"])["new"]["independent_ips_ci"]
        return high - low

    assert width(copies) == pytest.approx(width(once), rel=1e-3)
    assert width(apart) == pytest.approx(width(once) / 2, rel=0.15)


# What the weights say


def test_effective_sample_size_by_hand():
    assert support.effective_sample_size(np.array([1.0, 1.0, 2.0])) == pytest.approx(16 / 6)
    assert support.effective_sample_size(np.ones(7)) == 7
    assert support.effective_sample_size(np.zeros(7)) == 0


def test_sound_weights_have_no_warning():
    found = support.diagnose(simulated(by_position, 5000))
    assert set(found) == {"list", "place"}
    assert found["list"]["mean"] == pytest.approx(1.0, abs=0.05)
    assert found["list"]["effective_sample_size"] < found["list"]["weights"] == 5000
    assert support.reservations("new", found) == []


def test_what_the_log_never_showed_is_a_warning():
    generator = np.random.default_rng(0)
    # Half of what the new policy shows is an item that the log cannot show; the other half it shows always.
    found = support.diagnose(single(generator.random(500), np.full(500, 0.5)))
    assert any("below 1" in word and "50%" in word for word in support.reservations("new", found))
    found = support.diagnose(single(generator.random(500), np.full(500, 1.5)))
    assert any("above 1" in word for word in support.reservations("new", found))


def test_few_large_weights_are_a_warning():
    weights = np.where(np.arange(1000) < 10, 100.0, 0.0)
    (word,) = support.reservations("new", support.diagnose(single(np.ones(1000), weights)))
    assert "worth 10 of 1000 users" in word
    assert "largest weight 100" in word


def test_places_beyond_the_end_of_a_list_do_not_count():
    place = np.array([[2.0, 1.0, 1.0], [0.0, 0.5, 4.0]])
    shown = np.array([[True, False, False], [True, True, True]])
    found = support.diagnose(Rounds(np.zeros((2, 3)), np.arange(2), place=place, shown=shown))["place"]
    assert (found["weights"], found["mean"], found["largest"], found["zero"]) == (4, 6.5 / 4, 4.0, 0.25)
    assert found["effective_sample_size"] == pytest.approx(6.5**2 / (2.0**2 + 4.5**2), abs=0.01)


def test_many_lists_and_places_of_few_users_are_worth_few():
    rounds = Rounds(np.zeros((50, 20)), np.arange(50) % 10, place=np.ones((50, 20)), prefix=np.ones((50, 20)))
    found = support.diagnose(rounds)
    assert [one["effective_sample_size"] for one in found.values()] == [10, 10]
    assert all("worth 10 of 10 users" in word for word in support.reservations("new", found))
