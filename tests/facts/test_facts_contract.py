"""Every kind of fact keeps the contract, and templates can ask for all of them."""

import pytest

from genrec.facts.base import FACTS, FactKind
from genrec.prompting.phrases import KINDS
from genrec.testing import FactContract


@pytest.mark.parametrize("name", FACTS.names())
class TestFacts(FactContract):
    @pytest.fixture
    def kind(self, name: str) -> FactKind:
        return FACTS.find(name)()

    def test_is_called_as_its_file(self, name: str, kind: FactKind) -> None:
        assert kind.name == name


def test_there_is_a_file_for_every_kind_that_templates_can_ask_for() -> None:
    assert sorted(kind for kinds in KINDS.values() for kind in kinds) == FACTS.names()
