"""The contract of kinds of facts."""

from __future__ import annotations

import numpy as np
import pytest

from genrec.data.item_statistics import ItemStatistics
from genrec.data.labels import rated_rows
from genrec.domain import History, HistoryEntry, Item
from genrec.facts.base import FactKind
from genrec.facts.knowledge import Knowledge
from genrec.prompting.phrases import BUCKETS, KINDS, evidence_text
from genrec.retrieval.retrievers.covisit import CovisitRetriever
from genrec.testing.retriever import catalogue, log


def knowledge() -> Knowledge:
    """Of a small log with ratings 1 to 5."""
    unrated, items = log(), catalogue()
    ratings = np.random.default_rng(1).integers(1, 6, len(unrated)).astype(np.float64)
    rated = unrated.__class__.from_columns(
        unrated.user_ids, unrated.item_ids, unrated.user, unrated.item, unrated.timestamp, ratings
    )
    return Knowledge(
        lambda: ItemStatistics.fit(rated, rated_rows(rated, 4.0), 4.0),
        rated.item_ids.tolist(),
        lambda: items,
        lambda: CovisitRetriever.fit(rated, items),
    )


def history(items: list[Item]) -> History:
    """Ratings from 1 to 5 of these items."""
    return History("u", tuple(HistoryEntry(item, float(n), "rating", 1.0 + n % 5) for n, item in enumerate(items)))


class FactContract:
    """Override `kind`."""

    @pytest.fixture
    def kind(self) -> FactKind:
        """The kind of fact."""
        raise NotImplementedError

    def test_is_one_that_templates_can_ask_for(self, kind: FactKind) -> None:
        assert kind.name in KINDS[kind.about]

    def test_one_entry_for_each_candidate_or_one_for_the_history(self, kind: FactKind) -> None:
        known, items = knowledge(), catalogue()
        found = kind.find(known, history(items[:10]), items if kind.about == "candidates" else ())
        assert len(found) == (len(items) if kind.about == "candidates" else 1)

    def test_every_bucket_has_words_in_every_language(self, kind: FactKind) -> None:
        known, items = knowledge(), catalogue()
        for facts in kind.find(known, history(items[:10]), items if kind.about == "candidates" else ()):
            for fact in facts:
                assert fact.kind == kind.name
                assert fact.bucket in BUCKETS[kind.name]
                assert all(evidence_text(fact, language, "Heat", "genres") for language in ("en", "zh"))

    def test_strangers_and_empty_histories_are_no_error(self, kind: FactKind) -> None:
        stranger = Item("nobody knows it", "Stranger")
        for past in (History("u"), history([stranger])):
            found = kind.find(knowledge(), past, [stranger] if kind.about == "candidates" else ())
            assert len(found) == 1
