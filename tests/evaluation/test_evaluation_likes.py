import numpy as np
import pytest

from genrec.data.labels import rated_rows
from genrec.evaluation.likes import running_counts, two_rates, user_rate
from genrec.scoring.calibration import auc
from scoring_factories import World, make_world

PRIOR = 5.0


@pytest.fixture(scope="module")
def world() -> World:
    return make_world()


def test_running_counts_by_hand():
    counts = running_counts(np.array([0, 0, 0, 2, 2], dtype=np.int32), np.array([1.0, 0.0, 1.0, 1.0, 1.0]))
    assert counts.tolist() == [[0, 0], [1, 1], [2, 1], [0, 0], [1, 1]]
    assert len(running_counts(np.zeros(0, dtype=np.int32), np.zeros(0))) == 0


def test_user_rates_are_of_the_newest_events_before_the_row(world):
    log = world.interactions
    rows = rated_rows(log, 4.0).take(np.arange(0, 2400, 97))
    rates = user_rate(log, rows, 4.0, 0.6, newest=7)
    for number in range(len(rows)):
        own = np.flatnonzero((log.user == rows.user[number]) & (log.timestamp < rows.now[number]))[-7:]
        expected = ((log.value[own] >= 4).sum() + PRIOR * 0.6) / (len(own) + PRIOR)
        assert rates[number] == pytest.approx(expected)


def test_two_rates_find_items_that_please(world):
    rng = np.random.default_rng(0)
    log = world.interactions.select(np.ones(len(world.interactions), dtype=bool))
    quality = rng.uniform(0.1, 0.9, log.n_items)
    log.value[:] = np.where(rng.uniform(size=len(log)) < quality[log.item], 5.0, 1.0)
    early = log.timestamp < 8e5
    learned, rows = rated_rows(log.select(early), 4.0), rated_rows(log.select(~early), 4.0)
    p = two_rates(learned, log.select(early), rows, log, 4.0, newest=50)
    assert auc(rows.label, p) > 0.65
    assert np.corrcoef(p, quality[rows.item])[0, 1] > 0.9
