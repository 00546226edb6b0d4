"""Click head of small and larger logs: the weighted sum by hand, queries, the choice on validation, honest numbers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, log_softmax

from genrec.data.histories import HistoryBatch
from genrec.data.interactions import Interactions
from genrec.data.labels import Rows
from genrec.scoring.calibration import PlaceCalibration, PoolCalibration, fit_holds, fit_places, fit_temperature
from genrec.scoring.features import PAIR_FEATURES, CandidateFeatures, pool_columns
from genrec.scoring.fitting import fit_heads
from genrec.scoring.heads import Heads, ndcg_of
from genrec.scoring.item_texts import ItemTexts
from genrec.scoring.linear import LinearWeights, fit_linear
from genrec.scoring.pools import ShownPool, TrainingPool, TrainingPools
from genrec.scoring.query import QueryWeights, fit_query_weights

SCORES = st.lists(st.floats(-100, 100), min_size=1, max_size=12)
PARTS = ("covisit",)
ITEMS = 9
TEXTS = ItemTexts(np.zeros((ITEMS + 1, 4), np.float32), np.zeros((ITEMS + 1, 1), np.float32))
COSINE = PAIR_FEATURES.index("cosine_recent")
NO_EVENTS = Interactions.from_columns(
    np.array(["u"], dtype=object), np.arange(ITEMS).astype(str).astype(object), *(np.zeros(0, int) for _ in range(3))
)
NO_ROWS = Rows(*(np.zeros(0, np.int32) for _ in range(2)), *(np.zeros(0) for _ in range(2)))


def features_of(retriever, cosine=None, pairs=None, part=None, events=3, query=None):
    retriever = np.array(retriever, dtype=float)
    n = len(retriever)
    pairs = np.zeros((n, len(PAIR_FEATURES)), np.float32) if pairs is None else pairs
    if cosine is not None:
        pairs[:, COSINE] = cosine
    h = HistoryBatch(np.zeros((1, 3), np.int32), *(np.zeros((1, 3)),) * 2, np.zeros((1, 3), bool), np.zeros(1))
    part = np.zeros(n) if part is None else part
    columns = pool_columns(retriever, [part], pairs)
    return CandidateFeatures(
        retriever, columns, np.zeros(n, np.int32), h, np.zeros((1, 3, 2), np.float32), events, query
    )


def rich(rng, n=20, events=10):
    pairs = rng.normal(size=(n, len(PAIR_FEATURES))).astype(np.float32)
    return features_of(rng.normal(size=n), None, pairs, rng.normal(size=n), events)


def lessons(seed, n, choose):
    """Pools whose target is drawn by a softmax over `choose(features)`."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(n):
        features = rich(rng)
        made.append(TrainingPool(features, int(np.argmax(choose(features) + rng.gumbel(size=len(features))))))
    return made


def fitted(train, validation, asked=(), shown=(), seed=0):
    pools = TrainingPools(PARTS, train, validation, asked, shown)
    return fit_heads(NO_EVENTS, pools, NO_ROWS, NO_ROWS, TEXTS, 4.0, 3, seed)


def test_weighted_sum_by_hand():
    weights = LinearWeights(retriever=2.0, cosine=1.0)
    # Standardised retriever scores of (1, 3) are (-1, 1), cosines of (.9, .1) are (1, -1) after standardisation.
    np.testing.assert_allclose(weights.logits(features_of([1, 3], [0.9, 0.1])), [-1, 1], atol=1e-6)
    raw = -np.log([3, 1, 2])
    ranks = LinearWeights(retriever=0, retriever_rank=1).logits(features_of([0.1, 9.0, 0.2]))
    np.testing.assert_allclose(ranks, (raw - raw.mean()) / raw.std(), rtol=1e-6)


def test_a_column_that_is_equal_everywhere_decides_nothing():
    assert LinearWeights().logits(features_of([2, 2, 2])).tolist() == [0, 0, 0]
    both = LinearWeights(1, 0, 1)
    np.testing.assert_array_equal(both.logits(features_of([1, 2])), both.logits(features_of([1, 2], [0.3, 0.3])))
    assert Heads().click_logits(features_of([]), TEXTS.vectors).tolist() == []


@given(SCORES, st.randoms(use_true_random=False))
def test_the_order_of_the_pool_is_no_input_of_the_weighted_sum(values, random):
    order = list(range(len(values)))
    random.shuffle(order)
    retriever = np.array(values)
    cosine = expit(-retriever[::-1] / 50)
    weights = LinearWeights(1, 0.5, 0.7)
    np.testing.assert_allclose(
        weights.logits(features_of(retriever[order], cosine[order])),
        weights.logits(features_of(retriever, cosine))[order],
        atol=1e-4,
    )


def test_the_weights_are_the_minimum_of_their_loss():
    made = lessons(2, 100, lambda pool: pool.retriever + pool.pairs[:, COSINE])
    pools, targets = [one.features for one in made], [one.target for one in made]

    def loss(w):
        losses = [-log_softmax(w.logits(pool))[target] for pool, target in zip(pools, targets, strict=True)]
        vector = np.array([w.retriever, w.retriever_rank, w.cosine])
        return np.mean(losses) + 0.01 * vector @ vector

    best = fit_linear(pools, targets)
    for change in (-0.05, 0.05):
        assert loss(LinearWeights(best.retriever + change, best.retriever_rank, best.cosine)) >= loss(best)
        assert loss(LinearWeights(best.retriever, best.retriever_rank, best.cosine + change)) >= loss(best)


def test_cosines_that_mislead_get_no_weight():
    made = lessons(1, 400, lambda pool: pool.retriever - 2 * pool.pairs[:, COSINE])
    assert fit_linear([one.features for one in made], [one.target for one in made]).cosine == 0


def asked(rng, n=30, clear=2.0):
    """A pool of a query: taken by score, nearness and words, rarely what nothing else proposes."""
    alone = np.arange(n) >= 20
    words = rng.integers(0, 2, n)
    query = np.column_stack([rng.normal(size=n) + alone, words, alone])
    features = features_of(rng.normal(size=n), events=5, query=query)
    wish = LinearWeights().logits(features) + clear * query[:, 0] + 1.5 * words - 3 * alone
    return TrainingPool(features, int(np.argmax(wish + rng.gumbel(size=n))))


def base(pools):
    return [(LinearWeights().logits(pool.features), pool) for pool in pools]


def test_the_query_by_hand():
    features = features_of([1.0, 3.0], query=np.array([[0.5, 0.8, 0], [2.0, 0, 1]]))
    weights = QueryWeights(nearness=2.0, words=5.0, alone=3.0)
    np.testing.assert_allclose(weights.bonus(features), [5.0, 1.0])
    np.testing.assert_allclose(Heads(query=weights).scored(features, TEXTS.vectors)[0], [-1 + 5, 1 + 1], atol=1e-6)
    assert QueryWeights().bonus(features_of([1.0, 2.0])).tolist() == [0, 0]


def test_weights_of_queries_are_found_and_are_the_minimum_of_their_loss():
    rng = np.random.default_rng(0)
    made = [asked(rng) for _ in range(400)]
    weights = fit_query_weights(base(made))
    assert weights.nearness == pytest.approx(2.0, rel=0.2)
    assert weights.words == pytest.approx(1.5, rel=0.2)
    assert weights.alone == pytest.approx(3.0, rel=0.2)
    assert weights.pools == 400

    def loss(*found):
        bonus = QueryWeights(*found).bonus
        size = 0.001 * np.square(found).sum()
        return np.mean([-log_softmax(one + bonus(pool.features))[pool.target] for one, pool in base(made)]) + size

    found = np.array([weights.nearness, weights.words, weights.alone])
    for change in 0.05 * np.vstack([np.eye(3), -np.eye(3)]):
        assert loss(*(found + change)) > loss(*found)


def test_queries_that_mislead_get_no_weight_and_few_teach_nothing():
    rng = np.random.default_rng(1)
    made = base([asked(rng, clear=-1.0) for _ in range(100)])
    assert fit_query_weights(made).nearness == 0
    assert fit_query_weights(made[:5]) == QueryWeights()
    assert fit_query_weights(base([TrainingPool(features_of([1.0, 2.0]), 0)] * 50)) == QueryWeights()


@pytest.fixture(scope="module")
def interacting():
    """Pools in which a feature counts only where the history is long; a fifth does not hold what is taken."""
    rng = np.random.default_rng(5)
    made = []
    place = PAIR_FEATURES.index("user_events")
    for number in range(750):
        features = rich(rng, events=1 if number % 2 else 60)
        features.pairs[:, place] = number % 2
        signal = features.retriever + (1 - number % 2) * 3 * features.pairs[:, 0]
        target = int(np.argmax(signal + 0.3 * rng.gumbel(size=len(features))))
        made.append(TrainingPool(features, None if number % 5 == 0 else target))
    return made


def test_the_network_beats_the_sum_where_features_interact(interacting):
    heads, record = fitted(interacting[:550], interacting[550:])
    reached = record["click"]["validation_ndcg@10"]
    assert heads.click == "network"
    assert reached["network"] > reached["linear"] + 0.03
    assert reached["linear"] >= reached["retriever"] - 0.02


def test_p_click_is_honest(interacting):
    heads, record = fitted(interacting[:550], interacting[550:])
    assert record["click"]["calibration"]["temperature"] > 0.3
    shares, taken = [], []
    for pool in interacting[550:]:
        scaled = heads.scored(pool.features, TEXTS.vectors)[0]
        p = heads.calibration.probabilities(scaled, pool.features.events, False)
        best = np.argsort(-p)[:3]
        shares.append(p[best].sum())
        taken.append(pool.target in best)
    assert np.mean(shares) == pytest.approx(np.mean(taken), abs=0.05)
    likely = np.array(shares) > np.median(shares)
    assert np.mean(np.array(shares)[likely]) == pytest.approx(np.mean(np.array(taken)[likely]), abs=0.08)


def test_of_what_validation_does_not_tell_apart_the_simplest_is_taken():
    made = lessons(3, 60, lambda pool: 5 * pool.retriever)
    heads, record = fitted(made, [TrainingPool(features_of([3.0, 1.0]), 0)])
    assert (heads.click, heads.linear, heads.network) == ("linear", LinearWeights(), None)
    assert set(record["click"]["validation_ndcg@10"].values()) == {1.0}


def test_few_pools_have_a_weighted_sum_with_honest_probabilities():
    made = lessons(4, 100, lambda pool: 0.5 * pool.retriever)
    missed = [TrainingPool(one.features, None if number % 4 == 0 else one.target) for number, one in enumerate(made)]
    heads, _ = fitted(missed, ())
    assert heads.click == "linear"
    found = [heads.calibration.probabilities(heads.scored(one.features, TEXTS.vectors)[0], 10, False) for one in missed]
    assert np.mean([p.sum() for p in found]) == pytest.approx(0.75, abs=0.03)
    assert np.mean([p.max() for p in found]) == pytest.approx(
        np.mean([one.target == int(p.argmax()) for one, p in zip(missed, found, strict=True)]), abs=0.06
    )


def test_a_head_of_nothing_is_a_guess():
    heads, record = fitted((), ())
    p = heads.calibration.probabilities(heads.scored(features_of([1.0, 2.0]), TEXTS.vectors)[0], 0, False)
    assert p.sum() == pytest.approx(0.5)
    assert "guess" in record["says"]["p_click"]


def test_equal_seeds_give_equal_heads(interacting):
    one, again, other = (
        fitted(interacting[:420], interacting[550:], seed=seed)[0].network.weights for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(one["click_a.weight"], again["click_a.weight"])
    assert np.abs(one["click_a.weight"] - other["click_a.weight"]).max() > 0.01


@pytest.mark.parametrize("scale", [0.3, 1.0, 3.0])
def test_the_temperature_is_found(scale):
    rng = np.random.default_rng(0)
    cases = []
    for _ in range(2000):
        logits = rng.normal(size=10)
        cases.append((logits / scale, int(np.argmax(logits + rng.gumbel(size=10)))))
    assert fit_temperature(cases) == pytest.approx(scale, rel=0.1)
    assert fit_temperature([]) == pytest.approx(1.0, abs=1e-3)


def test_the_share_of_pools_that_hold_what_is_taken_is_found():
    rng = np.random.default_rng(0)
    pools = [(rng.normal(size=20), int(rng.integers(0, 100)), bool(rng.integers(2))) for _ in range(4000)]
    true = np.array([expit(1.0 - 0.5 * np.log1p(events) + 1.5 * asked) for _, events, asked in pools])
    calibration = fit_holds(1.0, pools, (rng.uniform(size=4000) < true).astype(float))
    found = np.array([calibration.probabilities(*pool).sum() for pool in pools])
    assert np.abs(found - true).mean() < 0.03
    assert fit_holds(2.0, [], np.zeros(0)) == PoolCalibration(2.0)


def test_probabilities_of_a_pool_by_hand():
    calibration = PoolCalibration(2.0, (0.0, 1.0, 0.0, 0.0))
    scaled = calibration.scaled(np.array([0.0, np.log(3) / 2]))
    p = calibration.probabilities(scaled, 2, False)
    np.testing.assert_allclose(p, 0.75 * np.array([0.25, 0.75]))  # sigmoid(log 3) = .75
    np.testing.assert_allclose(calibration.recombined(p, np.zeros(2)), [0.375, 0.375])


def shown_lists(count, eta, seed=0, n=8):
    """Lists in the order of the retriever or another, clicked as logits and places have it."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        features = features_of(rng.normal(size=n))
        places = rng.permutation(n) + 1.0
        p = places**-eta * expit(1.5 * LinearWeights().logits(features) - 1)
        made.append(ShownPool(features, places, (rng.uniform(size=n) < p).astype(float)))
    return made


@pytest.mark.parametrize("eta", [0.0, 0.7, 1.2])
def test_examination_by_place_is_divided_out(eta):
    shown = shown_lists(3000, eta)
    logits = np.concatenate([LinearWeights().logits(one.features) for one in shown])
    places, clicked = (np.concatenate([getattr(one, name) for one in shown]) for name in ("places", "clicked"))
    found = fit_places(logits, places, clicked)
    assert (found.slope, found.intercept, found.eta) == pytest.approx((1.5, -1.0, eta), abs=0.15)
    first = places == 1
    p = found.probabilities(found.scaled(logits), 0, False)
    assert p[first].mean() == pytest.approx(clicked[first].mean(), abs=0.03)


def test_where_lists_were_shown_p_click_is_that_of_a_click_at_the_first_place():
    shown = shown_lists(1000, 1.0)
    heads, record = fitted((), (), shown=shown)
    assert isinstance(heads.calibration, PlaceCalibration)
    assert "k^-" in record["says"]["p_click"]
    first = [one for one in shown if one.places[0] == 1]
    p = [heads.calibration.probabilities(heads.scored(one.features, TEXTS.vectors)[0], 0, False)[0] for one in first]
    assert np.mean(p) == pytest.approx(np.mean([one.clicked[0] for one in first]), abs=0.08)


def test_clicks_teach_the_order():
    """The retriever knows nothing; what was shown and clicked does."""
    rng = np.random.default_rng(1)
    shown = []
    for _ in range(1500):
        pairs = rng.normal(size=(8, len(PAIR_FEATURES))).astype(np.float32)
        features = features_of(rng.normal(size=8), None, pairs)
        clicked = (rng.uniform(size=8) < expit(2 * pairs[:, 0] - 1)).astype(float)
        shown.append(ShownPool(features, np.arange(1.0, 9.0), clicked))
    held = [TrainingPool(one.features, int(one.features.pairs[:, 0].argmax())) for one in shown[1200:]]
    heads, record = fitted((), held, shown=shown)
    assert heads.click == "network"
    reached = record["click"]["validation_ndcg@10"]
    assert reached["network"] > reached["retriever"] + 0.2


def test_ndcg_of_one_target_by_hand():
    assert ndcg_of(np.array([3.0, 5.0, 4.0]), 0, 10) == pytest.approx(1 / np.log2(4))
    assert ndcg_of(np.array([3.0, 5.0, 4.0]), 0, 2) == 0
    assert ndcg_of(np.array([1.0, 1.0]), 1, 10) == pytest.approx(1 / np.log2(3))
