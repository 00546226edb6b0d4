"""Every retriever of the folder keeps the same promises, and so does their blend."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import numpy as np
import pytest

from genrec.data.histories import HistoryArrays
from genrec.data.interactions import Interactions
from genrec.domain import Item
from genrec.errors import SettingsError, WorkspaceError
from genrec.retrieval.base import RETRIEVERS, Retriever
from genrec.retrieval.scoring import score_batch
from genrec.retrieval.tuning import fit_hybrid, fit_retriever
from genrec.settings import Settings
from genrec.text.encoders import HashingEncoder

N_ITEMS = 30


def query(*items: int) -> HistoryArrays:
    return HistoryArrays(
        np.array(items, dtype=np.int32), np.arange(len(items), dtype=np.float64), np.ones(len(items)), 1e9
    )


@pytest.fixture(scope="module")
def catalogue() -> list[Item]:
    words = ("space", "heist", "garden", "ghost", "train")
    return [
        Item(f"i{n}", f"{words[n % 5]} {words[n // 5 % 5]} {n}", {"genres": (words[n % 3],)}) for n in range(N_ITEMS)
    ]


@pytest.fixture(scope="module")
def log(catalogue: list[Item]) -> Interactions:
    random = np.random.default_rng(3)
    user = np.repeat(np.arange(40), 6)
    item = (user % 7 + random.integers(0, 8, len(user)) * 3) % (N_ITEMS - 1)  # the last item is touched by nobody
    ids = np.array([item.id for item in catalogue], dtype=object)
    names = np.arange(40).astype(str).astype(object)
    return Interactions.from_columns(names, ids, user, item, 1e9 + random.permutation(len(user)) * 3600.0)


def fitted(name: str, log: Interactions, catalogue: list[Item]) -> Retriever:
    return fit_retriever(name, log, catalogue, settings=Settings(), encoder=HashingEncoder(64), tune=False)


@pytest.mark.parametrize("name", RETRIEVERS.names())
class TestContract:
    def test_names_itself_and_has_a_grid_of_what_fit_takes(self, name: str) -> None:
        found = RETRIEVERS.find(name)
        assert found.name == name
        assert len(found.grid) > 0
        assert len({json.dumps(entry, sort_keys=True) for entry in found.grid}) == len(found.grid)

    def test_the_defaults_of_fit_are_the_first_entry_of_the_grid(self, name: str) -> None:
        found = RETRIEVERS.find(name)
        parameters = inspect.signature(found.fit).parameters
        assert {key: parameters[key].default for key in found.grid[0]} == dict(found.grid[0])

    def test_scores_the_whole_catalogue_with_finite_numbers(
        self, name: str, log: Interactions, catalogue: list[Item]
    ) -> None:
        scores = fitted(name, log, catalogue).scores(query(0, 5, 5, N_ITEMS - 1))
        assert scores.shape == (N_ITEMS,)
        assert scores.dtype == np.float32
        assert np.isfinite(scores).all()
        assert scores.any()

    def test_an_empty_history_is_no_error(self, name: str, log: Interactions, catalogue: list[Item]) -> None:
        scores = fitted(name, log, catalogue).scores(query())
        assert scores.shape == (N_ITEMS,)
        assert np.isfinite(scores).all()

    def test_a_batch_is_its_queries_one_by_one(self, name: str, log: Interactions, catalogue: list[Item]) -> None:
        retriever = fitted(name, log, catalogue)
        queries = [query(1, 2, 3), query(), query(7)]
        together = score_batch(retriever, queries)
        np.testing.assert_allclose(together, [retriever.scores(one) for one in queries], atol=1e-6)

    def test_comes_back_from_disk_unchanged(
        self, name: str, log: Interactions, catalogue: list[Item], tmp_path: Path
    ) -> None:
        retriever = fitted(name, log, catalogue)
        retriever.save(tmp_path)
        loaded = RETRIEVERS.find(name).load(tmp_path)
        np.testing.assert_array_equal(loaded.scores(query(4, 9)), retriever.scores(query(4, 9)))
        assert {file.suffix for file in tmp_path.rglob("*") if file.is_file()} <= {".json", ".safetensors", ".arrow"}

    def test_the_same_log_gives_the_same_scores(self, name: str, log: Interactions, catalogue: list[Item]) -> None:
        first, second = (fitted(name, log, catalogue).scores(query(4, 9)) for _ in range(2))
        np.testing.assert_array_equal(first, second)

    def test_fits_an_empty_log(self, name: str, log: Interactions, catalogue: list[Item]) -> None:
        nothing = log.select(np.zeros(len(log), dtype=np.bool_))
        scores = fitted(name, nothing, catalogue).scores(query(2))
        assert np.isfinite(scores).all()

    def test_fits_an_empty_catalogue(self, name: str) -> None:
        none = np.zeros(0)
        log = Interactions.from_columns(none.astype(object), none.astype(object), none, none, none)
        assert fitted(name, log, []).scores(query()).shape == (0,)

    def test_a_broken_index_says_how_to_mend_it(
        self, name: str, log: Interactions, catalogue: list[Item], tmp_path: Path
    ) -> None:
        fitted(name, log, catalogue).save(tmp_path)
        for file in tmp_path.rglob("*.safetensors"):
            file.write_bytes(b"broken")
        with pytest.raises(WorkspaceError) as caught:
            RETRIEVERS.find(name).load(tmp_path)
        assert "genrec fit" in caught.value.hint


def test_every_module_with_a_retriever_is_tested() -> None:
    assert set(RETRIEVERS.names()) >= {"covisit", "popular", "semantic", "ease", "ials", "bpr", "item_knn", "repeat"}


def test_an_unknown_retriever_is_named() -> None:
    with pytest.raises(SettingsError, match="telepathy"):
        RETRIEVERS.find("telepathy")


def test_a_dotted_path_names_a_retriever_of_ones_own(log: Interactions, catalogue: list[Item]) -> None:
    settings = Settings.model_validate(
        {"retrieval": {"retrievers": ("genrec.retrieval.retrievers.covisit", "popular")}}
    )
    blend = fit_hybrid(log, catalogue, settings=settings, tune=False)
    assert list(blend.parts) == ["genrec.retrieval.retrievers.covisit", "popular"]
