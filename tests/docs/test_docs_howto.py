"""The examples of the how-tos do what they say, on values computed by hand."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from docs_pages import REPOSITORY, Page

from genrec.data.interactions import Interactions
from genrec.domain import Candidate, Fact, History, HistoryEntry, Item

DAY = 86_400.0


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Gives the dotted path of a class of a how-to's first block of Python, as an outsider would name it."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def written(page: str, name: str) -> str:
        module = f"mine_of_{page.replace('-', '_')}"
        block = next(Page(REPOSITORY / "docs" / "howto" / f"{page}.md").fenced("python"))
        (tmp_path / f"{module}.py").write_text(block, "utf-8")
        importlib.invalidate_caches()
        return f"{module}.{name}"

    return written


def test_the_retriever_scores_by_the_first_event(example: Any, tmp_path: Path) -> None:
    from genrec.retrieval.base import RETRIEVERS

    kind: Any = RETRIEVERS.find(example("add-a-retriever", "ArrivalsRetriever"))
    users, ids = np.array(["u"], dtype=object), np.array(["a", "b", "c"], dtype=object)
    log = Interactions.from_columns(
        users, ids, np.array([0, 0, 0]), np.array([0, 1, 0]), np.array([0.0, 30 * DAY, 30 * DAY])
    )
    fitted = kind.fit(log, [Item(each, each) for each in "abc"], half_life=30.0)
    assert fitted.scores(None).tolist() == [0.5, 1.0, 0.0]
    (tmp_path / "index").mkdir()
    fitted.save(tmp_path / "index")
    assert kind.load(tmp_path / "index").scores(None).tolist() == [0.5, 1.0, 0.0]


def test_the_reranker_keeps_two_of_a_series(example: Any) -> None:
    from genrec.reranking.base import RERANKERS, Ranked, ScoredItem

    kind = RERANKERS.find(example("change-the-final-list", "SeriesReranker"))
    series = {"a": "one", "b": "one", "c": "", "d": "one", "e": "", "f": ""}
    items = tuple(
        ScoredItem(Candidate(Item(each, each, {"series": of} if of else {}), 1.0), 0.1) for each, of in series.items()
    )
    shown = kind().rerank(Ranked(items), None)
    assert [one.id for one in shown.items] == ["a", "b", "c", "e", "f"]
    assert [(one.item_id, one.reason, one.stage) for one in shown.dropped] == [
        ("d", "two of its series are above it", "mine")
    ]


def test_the_fact_is_the_usual_decade(example: Any) -> None:
    from genrec.facts.base import FACTS

    kind: Any = FACTS.find(example("add-a-kind-of-fact", "Decade"))
    years = ("1994", "1995", "1996", "1997", "1999", "2004")
    history = History("u", tuple(HistoryEntry(Item(year, year, {"year": year}), 0.0) for year in years))
    items = [Item("a", "a", {"year": "1991"}), Item("b", "b", {"year": "2001"}), Item("c", "c")]
    assert kind().find(None, history, items) == [(Fact("mine", "usual"),), (), ()]
    assert kind().find(None, History("u", history.entries[1:5]), items) == [(), (), ()]  # four say nothing yet
