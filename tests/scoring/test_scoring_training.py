"""The network of both heads: NumPy computes what torch trains, it is monotone, and it learns what there is to learn."""

import numpy as np
import pytest
import torch

from genrec.data.histories import HistoryBatch
from genrec.scoring.features import MONOTONE, PAIR_FEATURES, CandidateFeatures, column_names
from genrec.scoring.heads import Heads, ndcg_of
from genrec.scoring.pools import TrainingPool
from genrec.scoring.rated import RatedPairs
from genrec.scoring.training import Training, TwoHeads, fit_network

PARTS = ("covisit",)
COLUMNS = column_names(PARTS)
IS_MONOTONE = np.isin(COLUMNS, MONOTONE)
ITEMS, VECTOR, HISTORY = 11, 5, 6


def batch(rng, queries=1):
    mask = np.arange(HISTORY) >= HISTORY - rng.integers(0, HISTORY + 1, (queries, 1))
    empty = np.zeros((queries, HISTORY))
    return HistoryBatch(rng.integers(0, ITEMS, empty.shape).astype(np.int32), empty, empty, mask, np.zeros(queries))


def pool(rng, n=20, events=10):
    h = batch(rng)
    return CandidateFeatures(
        rng.normal(size=n),
        rng.normal(size=(n, len(COLUMNS))).astype(np.float32),
        rng.integers(0, ITEMS, n).astype(np.int32),
        h,
        rng.normal(size=(1, HISTORY, 2)).astype(np.float32) * h.mask[..., None],
        events,
    )


def rated(rng, queries=200, rows=1500):
    h = batch(rng, queries)
    return RatedPairs(
        h,
        rng.normal(size=(queries, HISTORY, 2)).astype(np.float32),
        rng.integers(0, queries, rows),
        rng.integers(0, ITEMS, rows).astype(np.int32),
        rng.normal(size=(rows, len(PAIR_FEATURES))).astype(np.float32),
        np.zeros(rows),
    )


def texts(seed=9):
    return np.concatenate([np.random.default_rng(seed).normal(size=(ITEMS, VECTOR)), np.zeros((1, VECTOR))]).astype(
        "f4"
    )


def drawn(seed):
    torch.manual_seed(seed)
    net = TwoHeads(VECTOR, IS_MONOTONE, Training(width=8, hidden=16)).eval()
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return net


def test_numpy_computes_what_torch_trains():
    rng, net, vectors = np.random.default_rng(0), drawn(0), texts()
    features = pool(rng)
    network, tensor = net.network(), torch.from_numpy
    with torch.inference_mode():
        joint = net.joint(
            tensor(vectors[features.item])[None],
            tensor(vectors[features.history.item]),
            tensor(features.signal),
            tensor(features.history.mask),
        )
        click = net.click(joint, tensor(features.columns)[None])[0].numpy()
        like = net.likes(joint, tensor(features.pairs.copy())[None])[0].numpy()
    found = network.joint(
        vectors[features.item], vectors[features.history.item[0]], features.signal[0], features.history.mask[0]
    )
    np.testing.assert_allclose(found, joint[0].numpy(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(network.click_logits(found, features.columns), click, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(network.like_logits(found, features.pairs), like, rtol=1e-4, atol=1e-4)


def test_what_is_masked_does_not_matter():
    heads, features = Heads("network", network=drawn(1).network(), parts=PARTS), pool(np.random.default_rng(1))
    before = heads.click_logits(features, texts())
    features.history.item[~features.history.mask] = 3
    features.signal[~features.history.mask] = 99.0
    np.testing.assert_array_equal(heads.click_logits(features, texts()), before)


def test_like_logits_do_not_depend_on_the_other_rows():
    heads, rows = Heads("network", network=drawn(2).network(), parts=PARTS), rated(np.random.default_rng(2), 7, 60)
    alone = [
        heads.like_logits(
            RatedPairs(rows.histories, rows.signal, rows.query[i : i + 1], rows.item[i : i + 1], rows.pairs[i : i + 1],
                       rows.label[i : i + 1]),
            texts(),
        )[0]
        for i in range(60)
    ]  # fmt: skip
    np.testing.assert_allclose(heads.like_logits(rows, texts()), alone, rtol=1e-4, atol=1e-5)


def test_more_of_a_monotone_feature_is_never_worse():
    rng = np.random.default_rng(3)
    slope = -1  # of the first column that is free
    made = [TrainingPool(one := pool(rng), int(one.columns[:, len(MONOTONE)].argmin())) for _ in range(320)]
    network = fit_network(texts(), made, None, IS_MONOTONE, Training(epochs=4, pools=16))
    features = pool(rng, 200)
    h = features.history
    joint = network.joint(texts()[features.item], texts()[h.item[0]], features.signal[0], h.mask[0])
    before = network.click_logits(joint, features.columns)
    for column in np.flatnonzero(IS_MONOTONE):
        raised = features.columns.copy()
        raised[:, column] += rng.exponential(size=len(raised)).astype(np.float32)
        assert (network.click_logits(joint, raised) >= before - 1e-6).all()
    # It is not so by having learned nothing: of other features more can be worse.
    for step in (-2, 2):
        moved = features.columns.copy()
        moved[:, len(MONOTONE)] += step
        assert (network.click_logits(joint, moved) < before - 1e-6).any() == (step * slope < 0)


def test_the_like_head_learns_how_history_and_item_interact():
    """The label is whether the item's first coordinate agrees with the signal of the newest event."""

    def learnable(seed):
        rows = rated(np.random.default_rng(seed))
        rows.histories.mask[:] = True
        rows.histories.item[:] = 0
        rows.signal[:, :-1] = 0
        rows.label[:] = rows.signal[rows.query, -1, 0] * texts()[rows.item, 0] > 0
        return rows

    network = fit_network(texts(), (), learnable(0), IS_MONOTONE, Training(epochs=30, rows=128))
    held = learnable(1)
    logits = Heads("network", network=network, parts=PARTS).like_logits(held, texts())
    assert ((logits > 0) == held.label).mean() > 0.85


def test_the_click_head_learns_how_history_and_item_interact():
    """Who did item 0 last takes what is nearest to it: only the attention knows that."""

    def made(rng):
        features = pool(rng)
        features.history.mask[:, -1] = True
        near = texts()[features.item] @ texts()[features.history.item[0, -1]]
        return TrainingPool(features, int(near.argmax()))

    rng = np.random.default_rng(4)
    network = fit_network(texts(), [made(rng) for _ in range(600)], None, IS_MONOTONE, Training(epochs=20, pools=32))
    heads = Heads("network", network=network, parts=PARTS)
    held = [made(rng) for _ in range(100)]
    found = [ndcg_of(heads.click_logits(one.features, texts()), one.target) for one in held]
    assert np.mean(found) > 0.6  # by chance .22


@pytest.mark.parametrize("what", ["pools", "rows", "both"])
def test_equal_seeds_give_equal_networks_and_leave_the_global_seed_alone(what):
    rng = np.random.default_rng(5)
    pools = [TrainingPool(pool(rng), 3) for _ in range(40)] if what != "rows" else []
    rows = rated(rng) if what != "pools" else None
    state, threads = torch.random.get_rng_state(), torch.get_num_threads()
    one, again, other = (
        fit_network(texts(), pools, rows, IS_MONOTONE, Training(epochs=1, seed=seed)).weights for seed in (4, 4, 5)
    )
    assert all(np.array_equal(one[name], again[name]) for name in one)
    assert np.abs(one["query.weight"] - other["query.weight"]).max() > 0.01
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.get_num_threads() == threads


def test_a_click_that_weighs_more_is_learned_first():
    rng = np.random.default_rng(6)
    features = pool(rng)
    twice = [TrainingPool(features, 1, 9.0), TrainingPool(features, 2, 1.0)] * 40
    network = fit_network(texts(), twice, None, IS_MONOTONE, Training(epochs=60, pools=16))
    logits = Heads("network", network=network, parts=PARTS).click_logits(features, texts())
    assert logits[1] > logits[2] > np.delete(logits, [1, 2]).max()
