"""A ranker is the one that the settings name, in the box or by a dotted path; nothing else takes its place."""

import pytest

from genrec.errors import NotFoundError, TemplateError
from genrec.prompting.library import TemplateLibrary
from genrec.ranking.base import RANKERS
from genrec.ranking.loading import for_template, rankers_of
from genrec.ranking.rankers.single_pass import SinglePassRanker
from genrec.settings import RankingSettings

LIBRARY = TemplateLibrary()


class Cautious(SinglePassRanker):
    name = "cautious"


OWN = f"{__name__}.Cautious"


def test_a_ranker_of_ones_own_reads_the_template_that_is_chosen_for_it() -> None:
    settings = for_template(RankingSettings(ranker=OWN), LIBRARY.get("rank/listwise"))
    assert settings.ranker == OWN
    assert RANKERS.find(settings.ranker) is Cautious


def test_a_ranker_of_ones_own_is_not_exchanged_where_it_cannot_read_the_template() -> None:
    with pytest.raises(TemplateError, match="output kind 'yes_no'"):
        for_template(RankingSettings(ranker=OWN), LIBRARY.get("rank/pointwise"))


@pytest.mark.parametrize(
    ("ranker", "template", "chosen"),
    [
        ("pointwise", "rank/listwise", "listwise"),
        ("single_pass", "rank/listwise", "single_pass"),
        ("listwise", "rank/pointwise", "pointwise"),
    ],
)
def test_a_template_of_another_kind_brings_a_ranker_that_reads_it(ranker: str, template: str, chosen: str) -> None:
    assert for_template(RankingSettings(ranker=ranker), LIBRARY.get(template)).ranker == chosen


def test_a_template_that_does_not_rank_is_refused() -> None:
    with pytest.raises(NotFoundError, match="does not rank"):
        for_template(RankingSettings(), LIBRARY.get("explain/reasons"))


def test_rankers_of_a_template() -> None:
    assert rankers_of(LIBRARY.get("rank/listwise")) == ["listwise", "single_pass"]
    assert rankers_of(LIBRARY.get("rank/pointwise")) == ["pointwise"]
