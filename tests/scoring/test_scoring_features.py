import numpy as np
import pytest

from genrec.data.histories import as_of
from genrec.data.item_statistics import PRIOR, ItemStatistics
from genrec.data.labels import rated_rows
from genrec.scoring.features import PAIR_FEATURES, column_names, pair_features, pool_columns
from genrec.scoring.item_texts import ItemTexts
from genrec.scoring.rated import RatedPairs

LIKED = 4.0


@pytest.fixture(scope="module")
def side(world):
    return ItemTexts.of(world.items, world.vectors)


@pytest.fixture(scope="module")
def rows(world):
    return rated_rows(world.interactions, LIKED)


def column(table, name):
    return table[:, PAIR_FEATURES.index(name)].astype(float)


def logit(p):
    return np.log(p / (1 - p))


def test_statistics_are_those_of_the_events_before(world, rows):
    log, until = world.interactions, 4e5
    statistics = ItemStatistics.fit(log, rows, LIKED, until)
    before = log.timestamp < until
    base = ((log.value[before] >= LIKED).sum() + 1) / (before.sum() + 2)
    value = np.clip((log.value - log.value[before].mean()) / log.value[before].std(), -3, 3)
    for item in range(log.n_items):
        mine = (log.item == item) & before
        assert statistics.count[item] == (log.value[mine] >= 3).sum()  # those of 2 stars say no
        expected = ((log.value[mine] >= LIKED).sum() + PRIOR * base) / (mine.sum() + PRIOR)
        assert statistics.rate[item] == pytest.approx(expected)
        assert statistics.deviation[item] == pytest.approx(value[mine].sum() / (mine.sum() + PRIOR))
        assert statistics.first[item] == log.timestamp[mine].min()
    assert statistics.rate[-1] == pytest.approx(base)
    assert statistics.count[-1] == 0


def test_features_as_of_a_row_equal_a_recomputation_by_hand(world, rows, side):
    """Every row is described with what stood in the log before it, and nothing else."""
    log, length, until = world.interactions, 10, 5e5
    statistics = ItemStatistics.fit(log, rows, LIKED, until)
    later = rows.take(np.flatnonzero(rows.now >= until)[::40])
    table = RatedPairs.of(statistics, side, log, later, length).pairs
    for number in range(len(later)):
        user, item, now = later.user[number], later.item[number], later.now[number]
        own = np.flatnonzero((log.user == user) & (log.timestamp < now))[-length:]
        label = (log.value[own] >= LIKED).astype(float)
        residual = statistics.residual(log.item[own], log.value[own])
        rate = (label.sum() + PRIOR * statistics.prior) / (len(own) + PRIOR)
        assert column(table, "user_rate")[number] == pytest.approx(logit(rate), abs=1e-5)
        mean = residual.sum() / (len(own) + PRIOR)
        assert column(table, "user_value")[number] == pytest.approx(mean, abs=1e-5)
        assert column(table, "user_events")[number] == pytest.approx(np.log1p(len(own)), abs=1e-5)
        recent = residual[-5:].sum() / (len(own[-5:]) + 1)
        assert column(table, "user_value_recent")[number] == pytest.approx(recent, abs=1e-5)
        assert column(table, "item_rate")[number] == pytest.approx(logit(statistics.rate[item]), abs=1e-5)
        dots = side.vectors[log.item[own]] @ side.vectors[item]
        liked = dots[label > 0].max() if label.any() else 0
        assert column(table, "cosine_liked")[number] == pytest.approx(liked, abs=1e-4)
        assert column(table, "cosine_newest")[number] == pytest.approx(dots[-1] if len(own) else 0, abs=1e-4)
        recent = dots[-10:].mean() if len(own) else 0
        assert column(table, "cosine_recent")[number] == pytest.approx(recent, abs=1e-4)
        same = side.values[log.item[own]] @ side.values[item] > 0
        taste = (residual - mean)[same].sum() / (same.sum() + PRIOR)
        assert column(table, "taste_metadata")[number] == pytest.approx(taste, abs=1e-4)
        x = side.vectors[log.item[own]].astype(float)
        weights = np.linalg.solve(x.T @ x + 3.0 * np.eye(x.shape[1]), x.T @ (residual - mean))
        assert column(table, "taste_text")[number] == pytest.approx(weights @ side.vectors[item], abs=1e-3)


def test_one_query_for_many_items_equals_many_queries(world, rows, side):
    log = world.interactions
    statistics = ItemStatistics.fit(log, rows, LIKED, np.inf)
    item = np.arange(log.n_items, dtype=np.int32)
    user, now = np.full(log.n_items, 3, dtype=np.int32), np.full(log.n_items, 9e5)
    many = pair_features(statistics, side, as_of(log, user, now, 20), np.arange(log.n_items), item)
    one = pair_features(
        statistics, side, as_of(log, user[:1], now[:1], 20), np.zeros(log.n_items, dtype=np.int64), item
    )
    np.testing.assert_allclose(one, many, rtol=1e-4, atol=1e-5)


def test_a_user_without_history_and_an_unknown_item_have_finite_features(world, rows, side):
    log = world.interactions
    statistics = ItemStatistics.fit(log, rows, LIKED, np.inf)
    nobody = as_of(log, np.array([-1], dtype=np.int32), np.array([9e9]), 5)
    table = pair_features(
        statistics, side, nobody, np.zeros(2, dtype=np.int64), np.array([0, log.n_items], dtype=np.int32)
    )
    assert np.isfinite(table).all()
    assert column(table, "user_rate") == pytest.approx(logit(statistics.prior), abs=1e-5)
    assert column(table, "taste_text").tolist() == [0, 0]
    assert column(table, "cosine_newest").tolist() == [0, 0]
    assert column(table, "item_rate")[1] == pytest.approx(logit(statistics.prior), abs=1e-5)


def test_statistics_of_an_empty_log_are_the_prior(world, rows):
    statistics = ItemStatistics.fit(world.interactions, rows, LIKED, until=-1.0)
    assert (statistics.count == 0).all()
    assert (statistics.rate == 0.5).all()
    assert (statistics.factors == 0).all()


def test_collaborative_taste_separates_the_genres(world, rows, side):
    log = world.interactions
    statistics = ItemStatistics.fit(log, rows, LIKED, np.inf)
    user = np.arange(log.n_users, dtype=np.int32)
    h = as_of(log, user, np.full(len(user), 9e9), 50)
    query, item = (
        np.repeat(np.arange(len(user)), log.n_items),
        np.tile(np.arange(log.n_items, dtype=np.int32), len(user)),
    )
    taste = column(pair_features(statistics, side, h, query, item), "taste_collaborative").reshape(-1, log.n_items)
    even, odd = taste[:, ::2].mean(axis=1), taste[:, 1::2].mean(axis=1)
    likes_odd = np.array([log.value[log.rows_of(u)][log.item[log.rows_of(u)] % 2 == 1].mean() > 3.5 for u in user])
    assert ((odd > even) == likes_odd).mean() > 0.95


def test_columns_of_a_pool_by_hand():
    pairs = np.arange(2 * len(PAIR_FEATURES), dtype=np.float32).reshape(2, -1)
    table = pool_columns(np.array([1.0, 3.0]), [np.array([5.0, 5.0])], pairs)
    named = dict(zip(column_names(("covisit",)), table.T, strict=True))
    np.testing.assert_allclose(named["retriever"], [1, 3])
    np.testing.assert_allclose(named["retriever_z"], [-1, 1])
    np.testing.assert_allclose(named["retriever_rank"], [-np.log(2), 0])
    np.testing.assert_allclose(named["covisit"], [5, 5])
    np.testing.assert_allclose(named["covisit_z"], [0, 0])
    np.testing.assert_allclose(named["item_rate"], pairs[:, 0])
    np.testing.assert_allclose(named["cosine_recent"], pairs[:, -1])
