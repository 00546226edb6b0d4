"""Every retriever of the folder keeps the contract, and a dotted path names one from elsewhere."""

from __future__ import annotations

import pytest

from genrec.errors import SettingsError
from genrec.retrieval.base import RETRIEVERS, Retriever
from genrec.retrieval.tuning import fit_hybrid
from genrec.settings import Settings
from genrec.testing import RetrieverContract
from genrec.testing.retriever import catalogue, log


@pytest.mark.parametrize("name", RETRIEVERS.names())
class TestRetrievers(RetrieverContract):
    @pytest.fixture
    def retriever(self, name: str) -> type[Retriever]:
        return RETRIEVERS.find(name)

    def test_is_called_as_its_file(self, name: str, retriever: type[Retriever]) -> None:
        assert retriever.name == name


def test_every_module_with_a_retriever_is_tested() -> None:
    assert set(RETRIEVERS.names()) >= {"covisit", "popular", "semantic", "ease", "ials", "bpr", "item_knn", "repeat"}


def test_an_unknown_retriever_is_named() -> None:
    with pytest.raises(SettingsError, match="telepathy"):
        RETRIEVERS.find("telepathy")


def test_a_dotted_path_names_a_retriever_of_ones_own() -> None:
    settings = Settings.model_validate(
        {"retrieval": {"retrievers": ("genrec.retrieval.retrievers.covisit", "popular")}}
    )
    blend = fit_hybrid(log(), catalogue(), settings=settings, tune=False)
    assert list(blend.parts) == ["genrec.retrieval.retrievers.covisit", "popular"]
