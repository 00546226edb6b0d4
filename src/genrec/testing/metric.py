"""The contract of metrics."""

from __future__ import annotations

from types import ModuleType

import pytest

from genrec.evaluation.metrics import KINDS


class MetricContract:
    """Override `metric`."""

    @pytest.fixture
    def metric(self) -> ModuleType:
        """The module of the metric."""
        raise NotImplementedError

    def test_has_one_kind(self, metric: ModuleType) -> None:
        assert len([kind for kind, function in KINDS.items() if hasattr(metric, function)]) == 1

    def test_says_in_a_line_what_it_is_and_which_way_is_good(self, metric: ModuleType) -> None:
        assert 20 < len(metric.DEFINITION) < 120
        assert "\n" not in metric.DEFINITION
        assert metric.BETTER in ("higher", "lower", "neither")

    def test_names_its_source(self, metric: ModuleType) -> None:
        assert "Source" in (metric.__doc__ or "")
