"""The plain words of a request: which items have them, and how rare they are."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csc_array

from genrec.retrieval.base import Scores

_WORD = re.compile(r"[^\W_]+")
_HAN = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]+")


class WordIndex:
    """score(i) = sum of idf(w) over the words w that the request and the text of item i share.

    idf(w) = log((1 + I) / (1 + items with w)) / log(1 + I): nearly 1 for a word of one item, nearly 0 for a word of
    all (Sparck Jones, J. Documentation 1972, scaled). A text encoder blurs rare words and names; this does not.
    Scripts without spaces are taken by pairs of characters.
    """

    def __init__(self, words: Sequence[str], starts: npt.NDArray[Any], places: npt.NDArray[Any], n_items: int) -> None:
        """Items with `words[w]` are `places[starts[w]:starts[w + 1]]`."""
        self._columns = {word: column for column, word in enumerate(words)}
        self._starts, self._places, self._n = starts, places, n_items

    @classmethod
    def fit(cls, texts: Sequence[str]) -> WordIndex:
        """Reads the texts of all items."""
        columns: dict[str, int] = {}
        cells = [
            (row, columns.setdefault(word, len(columns))) for row, text in enumerate(texts) for word in words(text)
        ]
        rows, held = np.array(cells, np.int32).reshape(-1, 2).T
        table = csc_array((np.ones(len(rows), np.int8), (rows, held)), shape=(len(texts), len(columns)))
        return cls(list(columns), table.indptr.astype(np.int64), table.indices.astype(np.int32), len(texts))

    def scores(self, query: str) -> Scores:
        """Scores [I]; 0 for items that share no word with the request."""
        scores = np.zeros(self._n, np.float32)
        for word in words(query):
            column = self._columns.get(word)
            if column is not None:
                places = self._places[self._starts[column] : self._starts[column + 1]]
                scores[places] += 1 - np.log1p(len(places)) / np.log1p(self._n)
        return scores

    def arrays(self) -> tuple[dict[str, npt.NDArray[Any]], list[str]]:
        """What is kept on disk: tensors by name, and the words."""
        return {"word_starts": self._starts, "word_places": self._places}, list(self._columns)


def words(text: str) -> frozenset[str]:
    """Words of a text without case, and pairs of characters of scripts without spaces."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    pairs = (first + second for run in _HAN.findall(folded) for first, second in pairwise(run))
    return frozenset([*_WORD.findall(_HAN.sub(" ", folded)), *pairs])
