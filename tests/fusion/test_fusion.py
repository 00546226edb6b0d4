"""The second stage by hand and by its properties; the weight of the language model: what slates support, no more."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, log_softmax

from genrec.clicks.features import FEATURES
from genrec.domain import Reader
from genrec.errors import WorkspaceError
from genrec.fusion.language_model import (
    FEWEST,
    UNMEASURED,
    Gate,
    LanguageModelWeights,
    Slate,
    curve,
    fit_language_model,
    ndcg_of,
)
from genrec.fusion.linear import Weights, fit_weights
from genrec.fusion.model import Fusion
from genrec.fusion.network import MonotoneNetwork
from genrec.fusion.pools import MONOTONE, Pool, columns, matrix
from genrec.fusion.request import RequestWeights, fit_request_weights
from genrec.fusion.training import Training, _Net, fit_network

SCORES = st.lists(st.floats(-100, 100), min_size=1, max_size=12)
PARTS = ("covisit",)
READER = Reader("base", None, "pointwise", "rank/pointwise")
TUNED = replace(READER, adapter="mine@2")


def plain(retriever, p_click=None):
    return Pool(np.array(retriever, dtype=float), {}, 3, None if p_click is None else np.array(p_click, dtype=float))


def rich(rng, n=20, events=10):
    retriever = rng.normal(size=n)
    return Pool(
        retriever,
        {"covisit": rng.normal(size=n)},
        events,
        expit(rng.normal(size=n)),
        rng.normal(size=(n, len(FEATURES))).astype(np.float32),
        rng.normal(size=(n, 2)).astype(np.float32),
    )


def lessons(seed, n, choose):
    """Pools whose target is drawn by a softmax over `choose(pool)`."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(n):
        pool = rich(rng)
        made.append((pool, int(np.argmax(choose(pool) + rng.gumbel(size=len(pool))))))
    return made


def test_weighted_sum_by_hand():
    weights = Weights(retriever=2.0, p_click=1.0)
    # Standardised retriever scores of (1, 3) are (-1, 1), logits of (.9, .1) are (1, -1) after standardisation.
    np.testing.assert_allclose(weights.scores(plain([1, 3], [0.9, 0.1])), [-1, 1])
    raw = -np.log([3, 1, 2])
    ranks = Weights(retriever=0, retriever_rank=1).scores(plain([0.1, 9.0, 0.2]))
    np.testing.assert_allclose(ranks, (raw - raw.mean()) / raw.std())


def test_a_part_that_is_equal_everywhere_or_absent_decides_nothing():
    assert Weights().scores(plain([2, 2, 2])).tolist() == [0, 0, 0]
    both = Weights(1, 0, 1)
    np.testing.assert_array_equal(both.scores(plain([1, 2])), both.scores(plain([1, 2], [0.3, 0.3])))
    assert Fusion().base(plain([])).tolist() == []


@given(SCORES, st.randoms(use_true_random=False))
def test_the_order_of_the_pool_is_no_input_of_the_weighted_sum(values, random):
    order = list(range(len(values)))
    random.shuffle(order)
    retriever = np.array(values)
    p = expit(-retriever[::-1] / 50)
    weights = Weights(1, 0.5, 0.7)
    np.testing.assert_allclose(
        weights.scores(plain(retriever[order], p[order])), weights.scores(plain(retriever, p))[order], atol=1e-6
    )


def test_the_weights_are_the_minimum_of_their_loss():
    made = lessons(2, 100, lambda pool: pool.retriever + np.log(pool.p_click))
    pools, targets = [pool for pool, _ in made], [target for _, target in made]

    def loss(w):
        losses = [-log_softmax(w.scores(pool))[target] for pool, target in made]
        vector = np.array([w.retriever, w.retriever_rank, w.p_click])
        return np.mean(losses) + 0.01 * vector @ vector

    best = fit_weights(pools, targets)
    for change in (-0.05, 0.05):
        assert loss(Weights(best.retriever + change, best.retriever_rank, best.p_click)) >= loss(best)
        assert loss(Weights(best.retriever, best.retriever_rank, best.p_click + change)) >= loss(best)


def test_probabilities_that_mislead_get_no_weight():
    made = lessons(1, 400, lambda pool: pool.retriever - 2 * np.log(pool.p_click))
    assert fit_weights([pool for pool, _ in made], [target for _, target in made]).p_click == 0


def test_features_by_hand():
    rng = np.random.default_rng(0)
    pool = Pool(
        np.array([1.0, 3.0]),
        {"covisit": np.array([5.0, 5.0])},
        4,
        np.array([0.5, 0.5]),
        rng.normal(size=(2, len(FEATURES))).astype(np.float32),
        np.array([[0.1, 0.2], [0.3, 0.4]], dtype=np.float32),
    )
    table = dict(zip(columns(PARTS), matrix(pool, PARTS).T, strict=True))
    np.testing.assert_allclose(table["retriever_z"], [-1, 1])
    np.testing.assert_allclose(table["retriever_rank"], [-np.log(2), 0])
    np.testing.assert_allclose(table["p_click"], [0, 0], atol=1e-6)
    np.testing.assert_allclose(table["covisit_z"], [0, 0])
    np.testing.assert_allclose(table["events"], np.log([5, 5]), rtol=1e-6)
    np.testing.assert_allclose(table["cosine_recent"], [0.2, 0.4], rtol=1e-6)
    with pytest.raises(ValueError, match="no P"):
        matrix(plain([1.0]), PARTS)


def asked(rng, n=30, clear=2.0):
    """A pool of a request: who chose, chose by second stage, nearness and words, seldom what nothing else proposes."""
    alone = np.arange(n) >= 20
    words = rng.integers(0, 2, n)
    pool = Pool(rng.normal(size=n), {}, 5, request=np.column_stack([rng.normal(size=n) + alone, words, alone]))
    wish = Weights().scores(pool) + clear * pool.request[:, 0] + 1.5 * words - 3 * alone
    return pool, int(np.argmax(wish + rng.gumbel(size=n)))


def test_the_request_by_hand():
    pool = Pool(np.array([1.0, 3.0]), {}, 0, request=np.array([[0.5, 0.8, 0], [2.0, 0, 1]]))
    weights = RequestWeights(nearness=2.0, words=5.0, alone=3.0)
    np.testing.assert_allclose(weights.bonus(pool), [5.0, 1.0])
    np.testing.assert_allclose(Fusion(request=weights).base(pool), [-1 + 5, 1 + 1], atol=1e-9)
    assert RequestWeights().bonus(plain([1.0, 2.0])).tolist() == [0, 0]


def test_weights_of_requests_are_found_and_are_the_minimum_of_their_loss():
    rng = np.random.default_rng(0)
    made = [asked(rng) for _ in range(400)]
    weights = Fusion().with_requests(made).request
    assert weights.nearness == pytest.approx(2.0, rel=0.2)
    assert weights.words == pytest.approx(1.5, rel=0.2)
    assert weights.alone == pytest.approx(3.0, rel=0.2)
    assert weights.pools == 400

    def loss(*found):
        scores = Fusion(request=RequestWeights(*found))
        size = 0.001 * np.square(found).sum()
        return np.mean([-log_softmax(scores.base(pool))[target] for pool, target in made]) + size

    found = np.array([weights.nearness, weights.words, weights.alone])
    for change in 0.05 * np.vstack([np.eye(3), -np.eye(3)]):
        assert loss(*(found + change)) > loss(*found)


def test_requests_that_mislead_get_no_weight_and_few_teach_nothing():
    rng = np.random.default_rng(1)
    made = [asked(rng, clear=-1.0) for _ in range(100)]
    assert fit_request_weights(made, Fusion().base).nearness == 0
    assert fit_request_weights(made[:5], Fusion().base) == RequestWeights()
    assert fit_request_weights([(plain([1.0, 2.0]), 0)] * 50, Fusion().base) == RequestWeights()


@pytest.fixture(scope="module")
def trained():
    """A network that had to learn an interaction: a feature counts only where the history is long."""
    rng = np.random.default_rng(5)
    made = []
    for number in range(600):
        pool = rich(rng, events=1 if number % 2 else 60)
        signal = pool.retriever + (pool.events > 5) * 3 * pool.pairs[:, 0]
        made.append((pool, int(np.argmax(signal + 0.3 * rng.gumbel(size=len(pool))))))
    return made


def test_the_network_beats_the_sum_where_features_interact(trained):
    fusion = Fusion.fit(trained[:450], trained[450:])
    reached = fusion.record["validation_ndcg@10"]
    assert fusion.record["second_stage"] == "network"
    assert reached["network"] > reached["linear"] + 0.03
    assert reached["linear"] >= reached["retriever"] - 0.02


def test_of_what_validation_does_not_tell_apart_the_simplest_is_taken():
    made = lessons(3, 60, lambda pool: 5 * pool.retriever)
    fusion = Fusion.fit(made, [(plain([3.0, 1.0]), 0)])
    assert fusion.record["second_stage"] == "retriever"
    assert fusion.network is None


def test_more_of_a_monotone_feature_is_never_worse(trained):
    names = columns(PARTS)
    monotone = np.isin(names, MONOTONE)
    network = fit_network(
        [matrix(pool, PARTS) for pool, _ in trained[:320]],
        [target for _, target in trained[:320]],
        monotone,
        Training(epochs=2),
    )
    rng = np.random.default_rng(1)
    x = rng.normal(size=(200, len(names))).astype(np.float32)
    before = network.scores(x)
    for column in np.flatnonzero(monotone):
        raised = x.copy()
        raised[:, column] += rng.exponential(size=len(x)).astype(np.float32)
        assert (network.scores(raised) >= before - 1e-6).all()
    # It is not so by having learned nothing: of other features more can be worse.
    moved = x.copy()
    moved[:, ~monotone] += 2
    assert (network.scores(moved) < before - 1e-6).any()


def test_the_network_computes_what_was_trained():
    import torch

    torch.manual_seed(0)
    net = _Net(np.array([True, False, True]), 8)
    x = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    network = net.network(np.zeros(3, np.float32), np.ones(3, np.float32))
    with torch.no_grad():
        np.testing.assert_allclose(network.scores(x), net(torch.from_numpy(x)).numpy(), rtol=1e-4, atol=1e-5)


def test_equal_seeds_give_equal_networks(trained):
    pools, targets = [matrix(pool, PARTS) for pool, _ in trained[:40]], [target for _, target in trained[:40]]
    monotone = np.isin(columns(PARTS), MONOTONE)
    first, second = (fit_network(pools, targets, monotone, Training(epochs=1)) for _ in range(2))
    for name, weight in first.weights.items():
        np.testing.assert_array_equal(weight, second.weights[name])


def test_the_seed_draws_the_start_of_the_network(trained):
    networks = [Fusion.fit(trained[:320], trained[450:], seed=seed).network for seed in (0, 0, 1)]
    first, again, other = (network.weights["a.weight"] for network in networks)
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.01


def test_what_is_saved_scores_the_same(trained, tmp_path):
    fusion = Fusion.fit(trained[:320], trained[450:]).with_reader(READER, pulled(60, 2.0)).with_reader(TUNED, [])
    fusion.save(tmp_path)
    again = Fusion.load(tmp_path)
    np.testing.assert_array_equal(again.base(trained[0][0]), fusion.base(trained[0][0]))
    assert (again.llm, again.linear, again.record) == (fusion.llm, fusion.linear, fusion.record)


def test_each_reader_has_weights_of_its_own():
    fusion = Fusion().with_reader(READER, pulled(60, 2.0)).with_reader(TUNED, pulled(60, -1.0))
    knows, misleads = fusion.weighed[READER], fusion.weighed[TUNED]
    assert misleads.long < 1e-4 < knows.long
    assert fusion.llm is fusion.read_by(READER).llm is fusion.read_by(TUNED).read_by(READER).llm is knows
    assert fusion.read_by(TUNED).llm is misleads
    assert fusion.unweighed(READER) is fusion.unweighed(TUNED) is None


def test_who_was_not_weighed_breaks_ties_and_that_is_said():
    fusion = Fusion().with_reader(READER, pulled(60, -1.0))
    assert not fusion.llm.useful(np.zeros(3), 9, False)
    for other in (TUNED, replace(READER, ranker="listwise"), replace(READER, model="larger")):
        read = fusion.read_by(other).llm
        assert (read.long, read.short, read.request, read.scale) == (UNMEASURED, UNMEASURED, UNMEASURED, 0)
        assert read.useful(np.zeros(3), 9, False)
        assert "breaks ties" in fusion.unweighed(other)
    assert "genrec fit --adapter base --adapter mine@2, with" in fusion.unweighed(TUNED)


def test_another_template_takes_the_weights_of_the_same_model_and_that_is_said():
    fusion = Fusion().with_reader(READER, pulled(60, 2.0))
    edited = replace(READER, template="rank/mine")
    assert fusion.read_by(edited).llm is fusion.llm
    assert "another template" in fusion.unweighed(edited)


def test_where_nobody_was_weighed_nothing_is_said():
    fusion = Fusion(llm=LanguageModelWeights(long=2.0))
    assert fusion.read_by(TUNED).llm.long == 2
    assert fusion.unweighed(TUNED) is None


@pytest.mark.parametrize("text", ["", "{}", '{"columns": [], "parts": []}'])
def test_broken_weights_are_a_message(tmp_path, text):
    (tmp_path / "fusion.json").write_text(text)
    with pytest.raises(WorkspaceError, match="genrec fit"):
        Fusion.load(tmp_path)


def test_a_network_is_skipped_where_there_is_no_p_click(trained):
    network = MonotoneNetwork({})
    fusion = Fusion(Weights(), network, PARTS)
    assert fusion.base(plain([1.0, 5.0, 2.0])).argmax() == 1


def pulled(count, signal, seed=0, events=20, request=False):
    """Slates of ten whose target draws the second stage's score up a little, and the model's by `signal`."""
    random = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        target = int(random.integers(10))
        pull = np.eye(10)[target]
        base, llm = random.normal(size=10) + pull, random.normal(size=10) + signal * pull
        found.append(Slate(base, llm, target, events, request))
    return found


def test_combination_by_hand():
    weights = LanguageModelWeights(long=0.5, short=2.0, request=3.0)
    base, llm = np.array([1.0, 0.0]), np.array([5.0, 7.0])  # standardised: -1, 1
    np.testing.assert_allclose(weights.combine(base, llm, events=6, request=False), [0.5, 0.5])
    np.testing.assert_allclose(weights.combine(base, llm, events=5, request=False), [-1, 2])
    np.testing.assert_allclose(weights.combine(base, llm, events=99, request=True), [-2, 3])


@given(SCORES, st.floats(0.01, 5))
@settings(max_examples=50)
def test_a_higher_score_of_the_model_is_never_worse(values, rise):
    llm = np.array([*values, 0.0])
    weights = LanguageModelWeights(long=1.0)
    raised = llm.copy()
    raised[0] += rise
    ranks = [
        np.count_nonzero(scores > scores[0] + 1e-9)
        for scores in (weights.combine(np.zeros(len(llm)), one, 9, False) for one in (llm, raised))
    ]
    assert ranks[1] <= ranks[0]


def test_a_model_that_knows_gets_a_weight_of_each_kind():
    read = [*pulled(60, 2.0), *pulled(60, 0.0, 1, events=2), *pulled(60, 2.0, 2, request=True)]
    weights = fit_language_model(read)
    assert weights.long > 0.5
    assert weights.short < 0.3
    assert weights.request == pytest.approx(weights.long, rel=0.5)
    assert weights.scale == pytest.approx(1.1, abs=0.15)
    assert weights.slates == 180


@pytest.mark.parametrize("seed", range(5))
def test_a_model_that_misleads_gets_none(seed):
    assert fit_language_model(pulled(60, -1.0, seed)).long == pytest.approx(0, abs=1e-4)


def test_a_model_that_guesses_mostly_gets_none():
    weights = [fit_language_model(pulled(60, 0.0, seed)).long for seed in range(30)]
    assert np.mean(np.array(weights) < 1e-4) > 0.7


def test_an_unread_model_breaks_ties():
    weights = fit_language_model([])
    assert (weights.long, weights.short, weights.request) == (UNMEASURED,) * 3
    assert weights.combine(np.ones(2), np.array([0.0, 1.0]), 9, False).argmax() == 1
    assert weights.useful(np.ones(2), 9, False)


def test_few_slates_of_a_kind_take_the_weight_of_all():
    weights = fit_language_model([*pulled(60, 2.0), *pulled(FEWEST - 1, -3.0, events=1)])
    of_all = fit_language_model([*pulled(60, 2.0), *pulled(FEWEST - 1, -3.0)]).long
    assert weights.short == weights.request == pytest.approx(of_all)
    assert UNMEASURED < weights.short < weights.long


def test_a_model_that_misleads_has_no_weight_for_few_requests_either():
    weights = fit_language_model([*pulled(60, -1.0), *pulled(FEWEST - 1, -1.0, 1, request=True)])
    assert weights.request == weights.long == pytest.approx(0, abs=1e-4)


def test_a_model_that_only_guesses_still_breaks_ties_for_few_requests():
    guessed = [Slate(np.zeros(4), llm, place, 9) for llm in np.eye(4) for place in range(4)] * 4
    weights = fit_language_model(guessed)
    assert (weights.long, weights.request) == (0, UNMEASURED)


def test_the_model_is_not_read_where_it_has_no_weight():
    weights = LanguageModelWeights(long=0.0, short=1.0, request=1.0)
    assert not weights.useful(np.arange(5.0), 50, False)
    assert weights.useful(np.arange(5.0), 2, False)
    assert weights.useful(np.arange(5.0), 50, True)
    # However near the margin: nothing can come of it.
    assert weights.gain(np.zeros(5), 50, False) == 0
    assert weights.gain(np.arange(5.0), 50, True) == 1
    assert weights.gain(np.arange(5.0), 2, False) == weights.gate.probability(np.arange(5.0), 2) > 0


def test_the_gate_by_hand():
    gate = Gate(intercept=1.0, margin=-1.0, events=0.5, threshold=0.5, k=2)
    # The three best are 9, 7, 6; the smallest gap is 1; four events.
    expected = expit(1 - np.log(1.001) + 0.5 * np.log(5))
    assert gate.probability(np.array([6.0, 1.0, 9.0, 7.0]), 4) == pytest.approx(expected)


def test_the_curve_ends_where_all_and_where_none_are_read():
    read = pulled(80, 2.0)
    weights = fit_language_model(read)
    points = curve(weights, read)
    without = np.mean([ndcg_of(slate.base, slate.target, 10) for slate in read])
    with_llm = np.mean(
        [ndcg_of(weights.combine(slate.base, slate.llm, slate.events, False), slate.target, 10) for slate in read]
    )
    assert (points[0]["share"], points[-1]["share"]) == (1, 0)
    assert points[0]["ndcg@10"] == pytest.approx(with_llm)
    assert points[-1]["ndcg@10"] == pytest.approx(without)
    gated = [point for point in points if point["threshold"] <= weights.gate.threshold]
    assert min(point["ndcg@10"] for point in gated) >= with_llm - 1e-12


def test_ndcg_of_one_target_by_hand():
    assert ndcg_of(np.array([3.0, 5.0, 4.0]), 0, 10) == pytest.approx(1 / np.log2(4))
    assert ndcg_of(np.array([3.0, 5.0, 4.0]), 0, 2) == 0
    assert ndcg_of(np.array([1.0, 1.0]), 1, 10) == pytest.approx(1 / np.log2(3))
