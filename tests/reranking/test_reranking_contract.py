"""Every re-ranker of the box keeps the contract, and what a faulty one does is refused."""

import pytest
from reranking_factories import context, ids, ranked, shown, slate

from genrec.errors import SettingsError
from genrec.reranking.base import RERANKERS
from genrec.settings import RerankingSettings
from genrec.testing import RerankerContract

for _name in RERANKERS.names():
    globals()[f"Test{_name.title()}"] = type(f"Test{_name.title()}", (RerankerContract,), {"name": _name})


def test_the_default_stages_are_of_the_box():
    assert set(RerankingSettings().stages) <= set(RERANKERS.names())
    assert {"policy", "validity", "exploration", "objective"} <= set(RERANKERS.names())


class Doubles:
    name = "doubles"

    def rerank(self, ranked, context):
        return ranked.reordered(ranked.items * 2, "twice")


class Silent:
    name = "silent"

    def rerank(self, ranked, context):
        return type(ranked)(ranked.items[1:], ranked.dropped)


def run(*stages):
    return shown(context(slate(a=3.0, b=2.0), settings={"reranking": {"stages": stages}}))


def test_a_new_stage_is_named_by_its_path():
    found = run("validity", f"{__name__}.Silent")
    assert ids(found) == ["b"]
    assert [(one.item_id, one.reason, one.stage) for one in found.dropped] == [("a", "left out by silent", "silent")]


def test_an_item_twice_is_refused():
    with pytest.raises(SettingsError, match="'doubles' gave an item twice"):
        run(f"{__name__}.Doubles")


def test_an_unknown_stage_is_an_error_with_the_names():
    with pytest.raises(SettingsError, match="no re-ranker 'polcy'") as raised:
        run("polcy")
    assert "did you mean policy?" in raised.value.hint


def test_a_list_in_another_order_says_from_where_to_where():
    before = ranked(a=0.5, b=0.3, c=0.2)
    after = before.reordered([before.items[n] for n in (1, 0, 2)], "diversity")
    assert [(one.id, one.moved) for one in after.items] == [
        ("b", ("diversity: from 2 to 1",)),
        ("a", ("diversity: from 1 to 2",)),
        ("c", ()),
    ]
