"""The scripted model and what wraps it keep the contract of language models."""

from pathlib import Path

import pytest

from genrec.llm.base import LanguageModel
from genrec.llm.cached import CachedModel
from genrec.llm.scripted import ScriptedModel
from genrec.llm.wrappers import DelegatingModel
from genrec.testing import LanguageModelContract


class TestScripted(LanguageModelContract):
    @pytest.fixture
    def model(self) -> LanguageModel:
        return ScriptedModel(3)


class TestDelegating(LanguageModelContract):
    @pytest.fixture
    def model(self) -> LanguageModel:
        return DelegatingModel(ScriptedModel(3))


class TestCached(LanguageModelContract):
    @pytest.fixture
    def model(self, tmp_path: Path) -> LanguageModel:
        async def load() -> LanguageModel:
            return ScriptedModel(3)

        return self.run(CachedModel.open(load, tmp_path / "reads.sqlite", "scripted"))  # type: ignore[no-any-return]
