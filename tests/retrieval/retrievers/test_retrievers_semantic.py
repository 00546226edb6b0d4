from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from genrec.data.histories import HistoryArrays
from genrec.data.interactions import Interactions
from genrec.domain import Item
from genrec.retrieval.retrievers.semantic import SemanticRetriever
from genrec.text.encoders import Progress, Vectors

NO_EVENTS = Interactions.from_columns(
    np.zeros(0, dtype=object), np.array(["n", "e", "s", "w"], dtype=object), np.zeros(0), np.zeros(0), np.zeros(0)
)
COMPASS = [Item("n", "north"), Item("e", "east"), Item("s", "south"), Item("w", "west")]


class Compass:
    """Texts to directions in the plane; their mean over the compass is zero."""

    name = "compass"
    dimension = 2

    def encode(self, texts: Sequence[str], progress: Progress | None = None) -> Vectors:
        known = {"north": (0, 1), "east": (1, 0), "south": (0, -1), "west": (-1, 0)}
        return np.array([known[text] for text in texts], dtype=np.float32)


def query(*items: int) -> HistoryArrays:
    return HistoryArrays(np.array(items, dtype=np.int32), np.zeros(len(items)), np.full(len(items), np.nan), 0.0)


def test_scores_are_cosines_and_reach_items_without_events() -> None:
    scores = SemanticRetriever.fit(NO_EVENTS, COMPASS, encoder=Compass()).scores(query(0))
    np.testing.assert_allclose(scores, [1, 0, -1, 0], atol=1e-6)


def test_the_user_is_the_decayed_mean_of_the_history() -> None:
    # newest east weighs 1, north before it 0.75: the direction (1, 0.75) / 1.25
    scores = SemanticRetriever.fit(NO_EVENTS, COMPASS, encoder=Compass(), decay=0.75).scores(query(0, 1))
    np.testing.assert_allclose(scores, [0.6, 0.8, -0.6, -0.8], atol=1e-6)


def test_only_the_newest_events_count() -> None:
    scores = SemanticRetriever.fit(NO_EVENTS, COMPASS, encoder=Compass(), history=1).scores(query(0, 1))
    np.testing.assert_allclose(scores, [0, 1, 0, -1], atol=1e-6)


def test_a_history_that_cancels_out_says_nothing() -> None:
    scores = SemanticRetriever.fit(NO_EVENTS, COMPASS, encoder=Compass(), decay=1.0).scores(query(0, 2))
    np.testing.assert_array_equal(scores, np.zeros(4))


def test_principal_components_keep_what_differs() -> None:
    class Wide(Compass):
        dimension = 3

        def encode(self, texts: Sequence[str], progress: Progress | None = None) -> Vectors:
            # the third number hardly differs: it is what two components leave out
            flat = super().encode(texts)
            return np.column_stack([flat, np.array([0.01, -0.01, 0.01, -0.01])]).astype(np.float32)

    wide = SemanticRetriever.fit(NO_EVENTS, COMPASS, encoder=Wide(), width=2).scores(query(0))
    np.testing.assert_allclose(wide, [1, 0, -1, 0], atol=1e-3)
