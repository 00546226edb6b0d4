import numpy as np
import pytest
import torch

from genrec.clicks.histories import Histories
from genrec.clicks.model import ClickNet, Shape, Training, fit_net
from genrec.clicks.pairs import Pairs


def random_pairs(rng, queries=7, rows=25, history=6, features=4, items=11):
    mask = np.arange(history) >= history - rng.integers(0, history + 1, (queries, 1))
    h = Histories(
        rng.integers(0, items, (queries, history)).astype(np.int32),
        np.zeros((queries, history)),
        np.zeros((queries, history)),
        mask,
        np.zeros(queries),
    )
    return Pairs(
        h,
        rng.normal(size=(queries, history, 2)).astype(np.float32),
        rng.integers(0, queries, rows),
        rng.integers(0, items, rows).astype(np.int32),
        rng.normal(size=(rows, features)).astype(np.float32),
    )


def random_net(seed):
    torch.manual_seed(seed)
    net = ClickNet(Shape(vector=5, features=4, width=8, hidden=16)).eval()
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return net


@pytest.mark.parametrize("queries", [1, 7])
def test_numpy_computes_what_torch_trains(queries):
    rng = np.random.default_rng(0)
    pairs, vectors = random_pairs(rng, queries), rng.normal(size=(11, 5)).astype(np.float32)
    net = random_net(0)
    with torch.inference_mode():
        expected = net(*map(torch.from_numpy, pairs.batch(vectors, np.arange(len(pairs))))).numpy()
    np.testing.assert_allclose(net.network().logits(vectors, pairs), expected, rtol=1e-4, atol=1e-4)


def test_what_is_masked_does_not_matter():
    rng = np.random.default_rng(1)
    pairs, vectors = random_pairs(rng), rng.normal(size=(11, 5)).astype(np.float32)
    network = random_net(1).network()
    before = network.logits(vectors, pairs)
    pairs.histories.item[~pairs.histories.mask] = 3
    pairs.signal[~pairs.histories.mask] = 99.0
    np.testing.assert_array_equal(network.logits(vectors, pairs), before)


def test_logits_do_not_depend_on_the_other_rows():
    rng = np.random.default_rng(2)
    pairs, vectors = random_pairs(rng, rows=60), rng.normal(size=(11, 5)).astype(np.float32)
    network = random_net(2).network()
    alone = [
        network.logits(
            vectors,
            Pairs(
                pairs.histories, pairs.signal, pairs.query[i : i + 1], pairs.item[i : i + 1], pairs.features[i : i + 1]
            ),
        )[0]
        for i in range(60)
    ]
    np.testing.assert_allclose(network.logits(vectors, pairs), alone, rtol=1e-4, atol=1e-5)


def test_no_pairs_have_no_logits():
    rng = np.random.default_rng(3)
    assert len(random_net(3).network().logits(np.zeros((11, 5), np.float32), random_pairs(rng, rows=0))) == 0


def learnable(seed):
    """The label is whether the item's first coordinate agrees with the signal of the newest event."""
    rng = np.random.default_rng(seed)
    pairs, vectors = random_pairs(rng, 200, 1500, 4), np.random.default_rng(9).normal(size=(11, 5)).astype(np.float32)
    pairs.histories.mask[:] = True
    pairs.histories.item[:] = 0
    newest = pairs.signal[:, -1, 0]
    pairs.signal[:, :-1] = 0
    labels = (newest[pairs.query] * vectors[pairs.item, 0] > 0).astype(float)
    return pairs, vectors, labels


def test_the_network_learns_how_history_and_item_interact():
    train, vectors, labels = learnable(0)
    held, _, held_labels = learnable(1)
    network, record = fit_net(vectors, train, labels, held, held_labels, Training(epochs=25, batch=128, patience=25))
    assert ((network.logits(vectors, held) > 0) == held_labels).mean() > 0.85
    assert record["validation_loss"] < 0.5


def test_equal_seeds_give_equal_networks_and_leave_the_global_seed_alone():
    train, vectors, labels = learnable(0)
    state = torch.random.get_rng_state()
    threads = torch.get_num_threads()
    one, two = (fit_net(vectors, train, labels, train, labels, Training(epochs=1, seed=4))[0] for _ in range(2))
    assert all(np.array_equal(one.weights[name], two.weights[name]) for name in one.weights)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.get_num_threads() == threads


def test_training_stops_when_validation_gets_no_better():
    train, vectors, labels = learnable(0)
    _, record = fit_net(vectors, train, labels, train, 1 - labels, Training(epochs=20, patience=2))
    assert record["epochs"] < 20
    assert record["best_epoch"] <= record["epochs"] - 2
