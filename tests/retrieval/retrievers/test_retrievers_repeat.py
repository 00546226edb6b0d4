from __future__ import annotations

import numpy as np

from genrec.data.histories import HistoryArrays
from genrec.data.interactions import Interactions
from genrec.retrieval.retrievers.repeat import RepeatRetriever

NO_EVENTS = Interactions.from_columns(
    np.zeros(0, dtype=object), np.array(list("abc"), dtype=object), np.zeros(0), np.zeros(0), np.zeros(0)
)
TWICE_THEN_ONCE = HistoryArrays(np.array([0, 0, 2], dtype=np.int32), np.zeros(3), np.full(3, np.nan), 0.0)


def test_events_decay_from_the_newest() -> None:
    scores = RepeatRetriever.fit(NO_EVENTS, [], decay=0.5).scores(TWICE_THEN_ONCE)
    np.testing.assert_allclose(scores, [0.5 + 0.25, 0, 1])


def test_without_decay_it_counts() -> None:
    np.testing.assert_allclose(RepeatRetriever.fit(NO_EVENTS, [], decay=1.0).scores(TWICE_THEN_ONCE), [2, 0, 1])
