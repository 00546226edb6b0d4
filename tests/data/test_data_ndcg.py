"""Discounts of NDCG by hand."""

import math

import numpy as np
import pytest

from genrec.data.ndcg import discounts, gains


def test_by_hand():
    assert discounts(3) == pytest.approx([1, 1 / math.log2(3), 0.5])
    assert discounts(0).shape == (0,)
    assert gains(np.array([[0, 2], [3, 9]]), 3) == pytest.approx(np.array([[1, 0.5], [0, 0]]))
