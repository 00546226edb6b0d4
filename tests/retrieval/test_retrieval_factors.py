"""The retrievers with latent factors, against the library that learns them."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from genrec.data.histories import HistoryArrays
from genrec.data.interactions import Interactions
from genrec.retrieval.factors import implicit_module
from genrec.retrieval.matrices import touched
from genrec.retrieval.retrievers.bpr import BprRetriever
from genrec.retrieval.retrievers.ials import IalsRetriever

N_ITEMS = 21


def query(*items: int) -> HistoryArrays:
    return HistoryArrays(np.array(items, dtype=np.int32), np.zeros(len(items)), np.full(len(items), np.nan), 0.0)


@pytest.fixture(scope="module")
def log() -> Interactions:
    """Users of two kinds: one touches the first ten items, the other the next ten; nobody the last."""
    random = np.random.default_rng(0)
    user = np.repeat(np.arange(40), 6)
    item = np.concatenate([random.choice(10, 6, replace=False) + 10 * (number % 2) for number in range(40)])
    names = np.arange(40).astype(str).astype(object)
    ids = np.arange(N_ITEMS).astype(str).astype(object)
    return Interactions.from_columns(names, ids, user, item, np.arange(len(user)))


def test_a_user_solved_from_the_query_is_the_user_factor_of_the_library(log: Interactions) -> None:
    with implicit_module("als") as als:
        model = als.AlternatingLeastSquares(8, 0.5, 3.0, iterations=5, random_state=0)
        model.fit(touched(log), show_progress=False)
        expected = model.recalculate_user(np.arange(40), touched(log))
    retriever = IalsRetriever.fit(log, [], factors=8, regularization=0.5, alpha=3.0, decay=1.0, iterations=5)
    found = [retriever.user_factor(query(*log.item[log.rows_of(user)])) for user in range(40)]
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_ials_solves_by_hand() -> None:
    # y = (1, 2), c = 3 * (0.5, 1): minimise 1.5 (1 - x)^2 + 3 (1 - 2 x)^2 + 1 x^2, so x = 7.5 / (1.5 + 12 + 1)
    retriever = IalsRetriever(np.array([[1], [2]], dtype=np.float32), regularization=1.0, alpha=3.0, decay=0.5)
    np.testing.assert_allclose(retriever.user_factor(query(0, 1)), [7.5 / 14.5], rtol=1e-6)
    # item 1 alone: minimise 3 (1 - 2 x)^2 + x^2 + 1 x^2
    np.testing.assert_allclose(retriever.scores(query(1)), np.array([1, 2]) * 6 / 14, rtol=1e-6)


def test_bpr_scores_by_hand() -> None:
    factors = np.array([[1, 0], [0, 1], [1, 1]], dtype=np.float32)
    retriever = BprRetriever(factors, np.array([0, 0, 0.5], dtype=np.float32), decay=0.5)
    # the mean of the newest (0, 1) and half of (1, 0) is (1/3, 2/3)
    np.testing.assert_allclose(retriever.scores(query(0, 1)), [1 / 3, 2 / 3, 1.5], rtol=1e-6)
    np.testing.assert_allclose(retriever.scores(query()), [0, 0, 0.5])


@pytest.mark.parametrize("kind", [IalsRetriever, BprRetriever])
def test_both_find_the_items_of_ones_kind(kind: type[IalsRetriever] | type[BprRetriever], log: Interactions) -> None:
    scores = kind.fit(log, []).scores(query(12, 15))
    assert scores[10:20].min() > scores[:10].max()


@pytest.mark.parametrize("kind", [IalsRetriever, BprRetriever])
def test_an_item_that_nobody_touched_has_no_score(
    kind: type[IalsRetriever] | type[BprRetriever], log: Interactions
) -> None:
    scores = kind.fit(log, []).scores(query(12, 15))
    # iALS knows nothing of it; of BPR's biases it has the lowest, so that it stands above nothing that was taken.
    assert scores[-1] == (0 if kind is IalsRetriever else kind.fit(log, []).scores(query()).min())
    assert scores[-1] <= 0


def test_fitting_is_silent(log: Interactions, capfd: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        IalsRetriever.fit(log, [])
        BprRetriever.fit(log, [])
    assert capfd.readouterr() == ("", "")
