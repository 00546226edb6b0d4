from __future__ import annotations

import numpy as np
import pytest

from genrec.data.histories import HistoryArrays
from genrec.data.interactions import Interactions
from genrec.retrieval.retrievers.popular import PopularRetriever

DAY = 86_400.0
NOW = 1.5e9
NO_LLM_RANKERS = HistoryArrays(np.zeros(0, np.int32), np.zeros(0), np.zeros(0), NOW)


def log(events: list[tuple[int, float]], n_items: int = 4) -> Interactions:
    ids = np.array([str(number) for number in range(n_items)], dtype=object)
    item, timestamp = np.array([event[0] for event in events]), np.array([event[1] for event in events])
    return Interactions.from_columns(np.array(["u"], dtype=object), ids, np.zeros(len(events)), item, timestamp)


def test_recent_events_count_by_age_and_the_whole_log_orders_the_rest() -> None:
    events = [(0, NOW - 99 * DAY), (0, NOW - 98 * DAY), (1, NOW - 5 * DAY), (2, NOW), (3, NOW - 97 * DAY)]
    scores = PopularRetriever.fit(log(events), [], popular_days=10, half_life=0.5).scores(NO_LLM_RANKERS)
    # item 1 is one half-life (5 days) old; shares of the log of five events come on top
    np.testing.assert_allclose(scores, [0.4, 0.5 + 0.2, 1 + 0.2, 0.2])


def test_the_share_of_old_events_never_outweighs_a_new_one() -> None:
    events = [(0, NOW - 99 * DAY)] * 50 + [(1, NOW)]
    scores = PopularRetriever.fit(log(events), [], popular_days=10).scores(NO_LLM_RANKERS)
    assert scores[1] > scores[0] > scores[2] == 0


@pytest.mark.parametrize(("share", "expected"), [(1.0, [2, 1, 1, 1]), (0.4, [1, 0, 0, 1])])
def test_a_log_of_positions_has_a_share_for_a_window(share: float, expected: list[int]) -> None:
    events = [(0, 0.0), (1, 1.0), (2, 2.0), (3, 3.0), (0, 4.0)]
    scores = PopularRetriever.fit(log(events), [], half_life=1e9, share=share).scores(NO_LLM_RANKERS)
    np.testing.assert_allclose(scores - np.array([2, 1, 1, 1]) / 5, expected, atol=1e-5)


def test_events_that_all_have_one_timestamp_count_fully() -> None:
    scores = PopularRetriever.fit(log([(2, NOW), (2, NOW), (1, NOW)]), []).scores(NO_LLM_RANKERS)
    np.testing.assert_allclose(scores, [0, 1 + 1 / 3, 2 + 2 / 3, 0])
