"""The contract of data sources."""

from __future__ import annotations

import numpy as np
import pytest

from genrec.data.sources.base import BadRows, Source


class SourceContract:
    """Override `source` with one that has a few events, and items if `has_items`."""

    @pytest.fixture
    def source(self) -> Source:
        """The source."""
        raise NotImplementedError

    def test_batches_are_columns_of_equal_length(self, source: Source) -> None:
        bad, rows = BadRows(), 0
        for batch in source.events(bad):
            rows += len(batch.user_id)
            given = (batch.item_id, batch.timestamp, batch.line, batch.value, batch.event_type, batch.event_id)
            assert {len(column) for column in given if column is not None} == {len(batch.user_id)}
            assert 0 <= batch.share <= 1
            assert np.isfinite(batch.timestamp).all()
        assert rows
        assert bad.count == 0

    def test_can_be_read_again(self, source: Source) -> None:
        first, second = ([len(batch.user_id) for batch in source.events(BadRows())] for _ in range(2))
        assert first == second

    def test_items_have_distinct_ids(self, source: Source) -> None:
        ids = [item.id for item in source.items(BadRows())]
        assert len(ids) == len(set(ids))
        assert bool(ids) == source.has_items

    def test_has_a_name(self, source: Source) -> None:
        assert source.name
