"""The contract of retrievers."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from genrec.data.histories import HistoryArrays
from genrec.data.interactions import Interactions
from genrec.domain import Item
from genrec.errors import WorkspaceError
from genrec.retrieval.base import Retriever
from genrec.retrieval.scoring import score_batch
from genrec.text.encoders import HashingEncoder

N_ITEMS = 30
SHARED: dict[str, Any] = {"encoder": HashingEncoder(64), "history": 50, "popular_days": 30.0, "seed": 0}
"""What fitting hands to every retriever whose `fit` names it."""


def query(*items: int) -> HistoryArrays:
    """A history of these positions, a second apart."""
    return HistoryArrays(np.array(items, dtype=np.int32), np.arange(len(items), dtype=float), np.ones(len(items)), 1e9)


def catalogue() -> list[Item]:
    """Items with words in common."""
    words = ("space", "heist", "garden", "ghost", "train")
    return [
        Item(f"i{n}", f"{words[n % 5]} {words[n // 5 % 5]} {n}", {"genres": (words[n % 3],)}) for n in range(N_ITEMS)
    ]


def log() -> Interactions:
    """Forty users with six events each; nobody touched the last item."""
    random = np.random.default_rng(3)
    user = np.repeat(np.arange(40), 6)
    item = (user % 7 + random.integers(0, 8, len(user)) * 3) % (N_ITEMS - 1)
    ids = np.array([item.id for item in catalogue()], dtype=object)
    names = np.arange(40).astype(str).astype(object)
    return Interactions.from_columns(names, ids, user, item, 1e9 + random.permutation(len(user)) * 3600.0)


class RetrieverContract:
    """Override `retriever`."""

    @pytest.fixture
    def retriever(self) -> type[Retriever]:
        """The class of the retriever."""
        raise NotImplementedError

    def fitted(self, retriever: type[Retriever], interactions: Interactions, items: list[Item]) -> Retriever:
        """Fitted with defaults."""
        wanted = inspect.signature(retriever.fit).parameters
        return retriever.fit(interactions, items, **{name: value for name, value in SHARED.items() if name in wanted})

    def test_has_a_name_and_a_grid_without_repetitions(self, retriever: type[Retriever]) -> None:
        assert retriever.name
        assert len(retriever.grid) > 0
        assert len({json.dumps(entry, sort_keys=True) for entry in retriever.grid}) == len(retriever.grid)

    def test_the_defaults_of_fit_are_the_first_entry_of_the_grid(self, retriever: type[Retriever]) -> None:
        parameters = inspect.signature(retriever.fit).parameters
        assert {key: parameters[key].default for key in retriever.grid[0]} == dict(retriever.grid[0])

    def test_scores_the_whole_catalogue_with_finite_numbers(self, retriever: type[Retriever]) -> None:
        scores = self.fitted(retriever, log(), catalogue()).scores(query(0, 5, 5, N_ITEMS - 1))
        assert scores.shape == (N_ITEMS,)
        assert scores.dtype == np.float32
        assert np.isfinite(scores).all()
        assert scores.any()

    def test_an_empty_history_is_no_error(self, retriever: type[Retriever]) -> None:
        scores = self.fitted(retriever, log(), catalogue()).scores(query())
        assert scores.shape == (N_ITEMS,)
        assert np.isfinite(scores).all()

    def test_a_batch_is_its_queries_one_by_one(self, retriever: type[Retriever]) -> None:
        fitted = self.fitted(retriever, log(), catalogue())
        queries = [query(1, 2, 3), query(), query(7)]
        np.testing.assert_allclose(score_batch(fitted, queries), [fitted.scores(one) for one in queries], atol=1e-6)

    def test_comes_back_from_disk_unchanged(self, retriever: type[Retriever], tmp_path: Path) -> None:
        fitted = self.fitted(retriever, log(), catalogue())
        fitted.save(tmp_path)
        np.testing.assert_array_equal(retriever.load(tmp_path).scores(query(4, 9)), fitted.scores(query(4, 9)))
        assert {file.suffix for file in tmp_path.rglob("*") if file.is_file()} <= {".json", ".safetensors", ".arrow"}

    def test_the_same_log_gives_the_same_scores(self, retriever: type[Retriever]) -> None:
        first, second = (self.fitted(retriever, log(), catalogue()).scores(query(4, 9)) for _ in range(2))
        np.testing.assert_array_equal(first, second)

    def test_fits_an_empty_log(self, retriever: type[Retriever]) -> None:
        nothing = log().select(np.zeros(len(log()), dtype=np.bool_))
        assert np.isfinite(self.fitted(retriever, nothing, catalogue()).scores(query(2))).all()

    def test_fits_an_empty_catalogue(self, retriever: type[Retriever]) -> None:
        none = np.zeros(0)
        nothing = Interactions.from_columns(none.astype(object), none.astype(object), none, none, none)
        assert self.fitted(retriever, nothing, []).scores(query()).shape == (0,)

    def test_a_broken_index_says_how_to_fix_it(self, retriever: type[Retriever], tmp_path: Path) -> None:
        self.fitted(retriever, log(), catalogue()).save(tmp_path)
        for file in tmp_path.rglob("*.safetensors"):
            file.write_bytes(b"broken")
        with pytest.raises(WorkspaceError) as caught:
            retriever.load(tmp_path)
        assert "genrec fit" in caught.value.hint
