"""The contract of encoders."""

from __future__ import annotations

import numpy as np
import pytest

from genrec.text.base import Encoder

TEXTS = ["a heist in Los Angeles", "", "a ghost in the garden", "a heist in Los Angeles", "幽灵"]


class EncoderContract:
    """Override `encoder`."""

    @pytest.fixture
    def encoder(self) -> Encoder:
        """The encoder, ready to encode."""
        raise NotImplementedError

    def test_vectors_are_rows_of_the_promised_width(self, encoder: Encoder) -> None:
        vectors = encoder.encode(TEXTS)
        assert vectors.shape == (len(TEXTS), encoder.dimension)
        assert vectors.dtype == np.float32
        assert np.isfinite(vectors).all()

    def test_vectors_have_unit_length_or_are_zero(self, encoder: Encoder) -> None:
        length = np.linalg.norm(encoder.encode(TEXTS), axis=1)
        assert np.logical_or(np.isclose(length, 1, atol=1e-5), length == 0).all()
        assert np.isclose(length[0], 1, atol=1e-5)

    def test_equal_texts_have_equal_vectors_wherever_they_stand(self, encoder: Encoder) -> None:
        vectors = encoder.encode(TEXTS)
        np.testing.assert_allclose(vectors[0], vectors[3], atol=1e-5)
        np.testing.assert_allclose(encoder.encode(TEXTS[::-1])[::-1], vectors, atol=1e-5)

    def test_no_texts_are_no_rows(self, encoder: Encoder) -> None:
        assert encoder.encode([]).shape == (0, encoder.dimension)

    def test_has_a_name(self, encoder: Encoder) -> None:
        assert encoder.name
