"""Requests in words: how near the text of every item is to what somebody asks for."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from genrec.artifacts.tensors import read_tensors, write_tensors
from genrec.domain import Item
from genrec.errors import GenrecError, ModelError, WorkspaceError
from genrec.retrieval.base import Scores
from genrec.retrieval.factors import product
from genrec.retrieval.words import WordIndex
from genrec.settings import EncoderSettings
from genrec.text.encoders import Encoder, Progress, Vectors, item_text, load_encoder

_SAME = 1e-6


class TextIndex:
    """Vectors of the texts of all items, beside which a request is laid by the encoder that made them.

    Whole vectors, neither centred nor reduced: the rare words that a request is about are what reduction loses. Beside
    them the words themselves, which an encoder blurs.
    """

    def __init__(
        self, vectors: Vectors, words: WordIndex, encoder_name: str, setting: str, encoder: Encoder | None = None
    ) -> None:
        """`vectors` [I, d] of unit length, by the encoder named so; without it, it is loaded by `encoder.name` of the
        settings, `setting`, when the first request comes.
        """
        self._vectors, self._words, self._name, self._setting = vectors, words, encoder_name, setting
        self._encoder = encoder
        self._is_usable = True
        self._lock = threading.Lock()

    @classmethod
    def fit(
        cls,
        items: Sequence[Item],
        encoder: Encoder,
        setting: str,
        *,
        for_requests: Encoder | None = None,
        progress: Progress | None = None,
    ) -> TextIndex:
        """Encodes the catalogue. `for_requests`: the same encoder for requests, where `encoder` keeps what it saw."""
        texts = [item_text(item) for item in items]
        vectors = encoder.encode(texts, progress)
        halves = vectors.astype(np.float16)  # as they are kept on disk: a loaded index says what the fitted one said
        return cls(halves.astype(np.float32), WordIndex.fit(texts), encoder.name, setting, for_requests or encoder)

    def nearness(self, query: str) -> Scores | None:
        """Cosines [I] of the request and each text, standardised over the catalogue.

        None where they tell nothing apart, or where the encoder cannot be had: an answer that does without the request
        is better than none. The log then says why.
        """
        with self._lock:
            if not self._is_usable or not len(self._vectors):
                return None
            try:
                vector = self._loaded().encode([query])[0]
            except GenrecError as error:
                self._is_usable = False
                logging.getLogger(__name__).warning(
                    "requests in words do not reach retrieval: %s (%s)", error.message, error.hint
                )
                return None
        cosines = product(self._vectors, vector)
        spread = float(cosines.std())
        if spread < _SAME:
            return None
        standardised: Scores = (cosines - cosines.mean()) / np.float32(spread)
        return standardised

    def shared(self, query: str) -> Scores:
        """How many words of the request each text has [I], the rare ones counting most; see `WordIndex`."""
        return self._words.scores(query)

    def save(self, folder: Path) -> None:
        """Writes the vectors in half precision, and the words."""
        arrays, words = self._words.arrays()
        settings = {"encoder": self._name, "setting": self._setting, "words": words}
        write_tensors(folder, {"vectors": self._vectors.astype(np.float16), **arrays}, settings)

    @classmethod
    def load(cls, folder: Path) -> TextIndex:
        """Reads what `save` wrote; the encoder is not loaded yet. WorkspaceError where an older version wrote it."""
        arrays, settings = read_tensors(folder)
        try:
            vectors = arrays["vectors"].astype(np.float32)
            words = WordIndex(settings["words"], arrays["word_starts"], arrays["word_places"], len(vectors))
            return cls(vectors, words, settings["encoder"], settings["setting"])
        except KeyError as error:
            raise WorkspaceError(
                f"the index in {folder} is of an older version", "build it again: genrec fit"
            ) from error

    def _loaded(self) -> Encoder:
        if self._encoder is None:
            found = load_encoder(EncoderSettings(name=self._setting))
            if found.name != self._name:
                raise ModelError("the encoder is another one than that of the index", "run genrec fit again")
            self._encoder = found
        return self._encoder
