from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from genrec.data.histories import HistoryArrays
from genrec.data.interactions import Interactions
from genrec.data.splits import leave_one_out
from genrec.domain import Item
from genrec.errors import DataError, SettingsError
from genrec.retrieval import tuning
from genrec.retrieval.base import RETRIEVERS, Scores
from genrec.retrieval.hybrid import HybridRetriever
from genrec.retrieval.pools import TuningPools
from genrec.retrieval.retrievers.covisit import CovisitRetriever
from genrec.retrieval.scoring import ndcg_at
from genrec.retrieval.tuning import fit_hybrid, fit_retriever, refit_blend
from genrec.settings import Settings
from genrec.text.encoders import HashingEncoder, Progress, Vectors

N_ITEMS = 50


class Counting(HashingEncoder):
    """Counts the texts it encodes."""

    encoded = 0

    def encode(self, texts: Sequence[str], progress: Progress | None = None) -> Vectors:
        self.encoded += len(texts)
        return super().encode(texts, progress)


class Fixed:
    name = "fixed"
    grid = ({},)

    def __init__(self, scores: Scores) -> None:
        self._scores = scores

    def scores(self, query: HistoryArrays) -> Scores:
        return self._scores


@pytest.fixture(scope="module")
def catalogue() -> list[Item]:
    return [Item(f"i{n}", f"series {n // 5} volume {n % 5}") for n in range(N_ITEMS)]


@pytest.fixture(scope="module")
def log(catalogue: list[Item]) -> Interactions:
    """Users walk upwards through the catalogue, mostly by one or two."""
    random = np.random.default_rng(1)
    steps = random.integers(1, 3, (80, 8)).cumsum(axis=1) + random.integers(0, N_ITEMS, (80, 1))
    ids = np.array([item.id for item in catalogue], dtype=object)
    names = np.arange(80).astype(str).astype(object)
    times = 1e9 + random.permutation(80)[:, None] * 1e5 + np.arange(8)
    return Interactions.from_columns(names, ids, np.repeat(np.arange(80), 8), steps.ravel() % N_ITEMS, times.ravel())


@pytest.fixture(scope="module")
def blend(log: Interactions, catalogue: list[Item]) -> HybridRetriever:
    return fit_hybrid(log, catalogue, settings=Settings(), encoder=HashingEncoder(64))


def test_the_seed_draws_the_validation_users(log: Interactions) -> None:
    drawn = [tuning.validation_split(log, "leave-one-out", 20, seed) for seed in (0, 0, 1)]
    first, again, other = (split.users.tolist() for split in drawn if split is not None)
    assert first == again != other
    assert len(first) == len(other) == 20


def test_the_seed_reaches_what_starts_by_chance_and_nothing_else(log: Interactions, catalogue: list[Item]) -> None:
    settings = Settings(retrieval={"retrievers": ["covisit", "bpr"]})
    query = HistoryArrays(np.array([3, 4], np.int32), np.array([1e9, 1e9 + 1]), np.ones(2), 1e9 + 2)
    first, again, other = (
        {name: part.scores(query) for name, part in made.parts.items()}
        for made in (fit_hybrid(log, catalogue, settings=settings, tune=False, seed=seed) for seed in (0, 0, 1))
    )
    np.testing.assert_array_equal(first["bpr"], again["bpr"])
    assert np.abs(first["bpr"] - other["bpr"]).max() > 1e-4
    np.testing.assert_array_equal(first["covisit"], other["covisit"])


def test_the_record_says_what_was_chosen_and_how_well_it_did(blend: HybridRetriever) -> None:
    assert blend.record["split"] == "leave-one-out"
    assert blend.record["users"] == 80
    assert blend.record["weights"] == blend.weights
    chosen = blend.record["parts"]["covisit"]
    assert len(chosen["ndcg@10"]) == len(CovisitRetriever.grid)
    assert chosen["hyper_parameters"] in CovisitRetriever.grid


def test_on_validation_the_blend_is_at_least_as_good_as_its_best_part(blend: HybridRetriever) -> None:
    grids = {name: RETRIEVERS.find(name).grid for name in blend.parts}
    reached = [
        part["ndcg@10"][grids[name].index(part["hyper_parameters"])] for name, part in blend.record["parts"].items()
    ]
    assert blend.record["ndcg@10"] >= max(reached) > 0.3


def test_fitting_twice_gives_the_same(blend: HybridRetriever, log: Interactions, catalogue: list[Item]) -> None:
    again = fit_hybrid(log, catalogue, settings=Settings(), encoder=HashingEncoder(64))
    assert again.record == blend.record


def test_fitting_again_on_another_log_chooses_nothing_anew(
    log: Interactions, catalogue: list[Item], blend: HybridRetriever
) -> None:
    settings = Settings.model_validate({"retrieval": {"popular_days": 5.0}})
    half = log.select(log.timestamp < np.median(log.timestamp))
    fewer = fit_hybrid(half, catalogue, settings=settings, encoder=HashingEncoder(64))
    again = refit_blend(fewer, log, catalogue, settings=settings, encoder=HashingEncoder(64))
    assert (again.weights, again.record) == (fewer.weights, fewer.record)
    assert again.newest == log.timestamp.max() > fewer.newest
    expected = CovisitRetriever.fit(log, catalogue, **fewer.record["parts"]["covisit"]["hyper_parameters"])
    query = HistoryArrays(log.item[:3], log.timestamp[:3], log.value[:3], 0.0)
    np.testing.assert_array_equal(again.parts["covisit"].scores(query), expected.scores(query))


def test_a_single_retriever_is_chosen_on_validation_and_fitted_on_everything(
    log: Interactions, catalogue: list[Item], blend: HybridRetriever
) -> None:
    chosen = fit_retriever("covisit", log, catalogue, settings=Settings())
    query = HistoryArrays(log.item[:3], log.timestamp[:3], log.value[:3], 0.0)
    np.testing.assert_array_equal(chosen.scores(query), blend.parts["covisit"].scores(query))


def test_every_text_is_encoded_once_and_not_again_in_the_next_run(
    log: Interactions, catalogue: list[Item], tmp_path: Path
) -> None:
    encoder = Counting(64)
    for _ in range(2):
        fit_hybrid(log, catalogue, settings=Settings(), encoder=encoder, cache_folder=tmp_path)
    assert encoder.encoded == N_ITEMS


def test_settings_reach_the_retrievers(log: Interactions, catalogue: list[Item]) -> None:
    settings = Settings.model_validate({"retrieval": {"retrievers": ("covisit",), "history": 1}})
    blend = fit_hybrid(log, catalogue, settings=settings, tune=False)
    long, short = (HistoryArrays(log.item[:n][-m:], np.zeros(m), np.zeros(m), 0.0) for n, m in ((5, 5), (5, 1)))
    np.testing.assert_array_equal(blend.scores(long), blend.scores(short))


def test_progress_is_reported(log: Interactions, catalogue: list[Item]) -> None:
    seen: list[tuple[str, int, int]] = []
    settings = Settings.model_validate({"retrieval": {"retrievers": ("covisit",)}})
    fit_hybrid(log, catalogue, settings=settings, progress=lambda *step: seen.append(step))
    assert {what for what, _, _ in seen} >= {"choosing covisit", "pooling candidates"}
    assert all(0 < done <= total for _, done, total in seen)


def test_a_log_too_small_to_split_is_fitted_with_defaults(catalogue: list[Item]) -> None:
    ids = np.array([item.id for item in catalogue], dtype=object)
    one = Interactions.from_columns(np.array(["u"], dtype=object), ids, np.zeros(1), np.zeros(1), np.zeros(1))
    for split in ("leave-one-out", "temporal"):
        blend = fit_hybrid(one, catalogue, settings=Settings(), encoder=HashingEncoder(64), split=split)
        assert blend.record["parts"]["covisit"]["hyper_parameters"] == CovisitRetriever.grid[0]


def test_an_unknown_split_is_an_error(log: Interactions, catalogue: list[Item]) -> None:
    with pytest.raises(DataError, match="sideways"):
        fit_hybrid(log, catalogue, settings=Settings(), encoder=HashingEncoder(64), split="sideways")


class Tunable:
    """Puts the next two items of the walk first, or nothing: only the second entry of the grid is of use."""

    name = "tunable"
    grid = ({"good": False}, {"good": True})

    def __init__(self, size: int, good: bool) -> None:
        self.size, self.good = size, good

    @classmethod
    def fit(cls, interactions: Interactions, items: Sequence[Item], *, good: bool) -> Tunable:
        return cls(interactions.n_items, good)

    def scores(self, query: HistoryArrays) -> Scores:
        scores = np.zeros(self.size, dtype=np.float32)
        if self.good and len(query.item):
            following = (query.item[-1] + np.arange(1, 3)) % self.size
            scores[following] = 1
        return scores

    def save(self, folder: Path) -> None:
        raise NotImplementedError

    @classmethod
    def load(cls, folder: Path) -> Tunable:
        raise NotImplementedError


class Useless(Tunable):
    grid = ({"good": False},)


def test_a_part_that_knows_nothing_has_no_weight(log: Interactions, catalogue: list[Item]) -> None:
    useless = f"{__name__}.Useless"
    settings = Settings.model_validate({"retrieval": {"retrievers": (useless, "covisit")}})
    assert fit_hybrid(log, catalogue, settings=settings).weights == {useless: 0.0, "covisit": 1.0}


def test_an_unknown_retriever_is_refused_before_anything_is_fitted(log: Interactions, catalogue: list[Item]) -> None:
    def told(*_: object) -> None:
        pytest.fail("something was fitted")

    settings = Settings.model_validate({"retrieval": {"retrievers": ("covisit", "files")}})
    with pytest.raises(SettingsError, match="no retriever 'files'") as caught:
        fit_hybrid(log, catalogue, settings=settings, progress=told)
    assert "covisit" in caught.value.hint


def test_the_better_entry_of_a_grid_is_taken(log: Interactions, catalogue: list[Item]) -> None:
    fitted = fit_retriever(f"{__name__}.Tunable", log, catalogue, settings=Settings())
    assert isinstance(fitted, Tunable)
    assert fitted.good


class Alike(Tunable):
    favourite = 0

    def scores(self, query: HistoryArrays) -> Scores:
        # the second entry wins one user of eighty by chance
        return Fixed(np.eye(self.size, dtype=np.float32)[self.favourite if self.good else 0]).scores(query)


def test_the_default_stays_where_nothing_is_clearly_better(log: Interactions, catalogue: list[Item]) -> None:
    Alike.favourite = int(log.item[7])
    fitted = fit_retriever(f"{__name__}.Alike", log, catalogue, settings=Settings())
    assert isinstance(fitted, Alike)
    assert not fitted.good


FITS: list[tuple[bool, int]] = []


class Asked(Tunable):
    grid = ({"good": False, "late": 0}, {"good": False, "late": 1}, {"good": True, "late": 1})

    @classmethod
    def fit(cls, interactions: Interactions, items: Sequence[Item], *, good: bool, late: int) -> Asked:
        FITS.append((good, late))
        return cls(interactions.n_items, good)

    def with_query(self, late: int) -> Asked:
        return type(self)(self.size, bool(late))


def test_entries_that_only_ask_otherwise_share_one_fit(log: Interactions, catalogue: list[Item]) -> None:
    FITS.clear()
    fitted = fit_retriever(f"{__name__}.Asked", log, catalogue, settings=Settings())
    assert FITS == [(False, 0), (True, 1), (False, 1)]  # two to choose from, and the one chosen on the whole log
    assert isinstance(fitted, Asked)


def test_pools_give_the_ndcg_of_the_blend(log: Interactions) -> None:
    split = leave_one_out(log)
    random = np.random.default_rng(5)
    parts = {name: Fixed(random.normal(size=N_ITEMS).astype(np.float32)) for name in ("one", "two")}
    pools = TuningPools.collect(list(parts.values()), split)
    for weights in ([1.0, 0.0], [0.3, 0.8]):
        blend = HybridRetriever(
            parts, dict(zip(parts, weights, strict=True)), log.item_ids.tolist(), np.zeros(N_ITEMS, np.float32)
        )
        assert pools.ndcg(np.array(weights)) == pytest.approx(ndcg_at(blend, split).mean())
