"""The plain words of a request, against hand-computed scores."""

from __future__ import annotations

from math import log
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genrec.artifacts.tensors import read_tensors, write_tensors
from genrec.domain import Item
from genrec.errors import WorkspaceError
from genrec.retrieval.text_search import TextIndex
from genrec.retrieval.words import WordIndex, words
from genrec.text.encoders import HashingEncoder

TEXTS = ["The Racing Game", "The Quiet Game", "the puzzle", "星际穿越"]


def test_scores_are_summed_idf() -> None:
    once, twice, thrice = (1 - log(1 + count) / log(1 + 4) for count in (1, 2, 3))
    found = WordIndex.fit(TEXTS).scores("a RACING game, the racing one")
    np.testing.assert_allclose(found, [once + twice + thrice, twice + thrice, thrice, 0], rtol=1e-6)


def test_scripts_without_spaces_are_matched_in_part() -> None:
    found = WordIndex.fit(TEXTS).scores("想看星际的电影")
    assert found[3] > 0
    assert not found[:3].any()


@pytest.mark.parametrize("request_", ["", "?!", "nothing of it", "_"])
def test_words_that_nobody_has_score_nothing(request_: str) -> None:
    assert not WordIndex.fit(TEXTS).scores(request_).any()


def test_words_are_folded() -> None:
    assert words("Ｆｕｌｌ Straße pac-man_2") == {"full", "strasse", "pac", "man", "2"}


def test_an_empty_catalogue_has_no_scores() -> None:
    assert WordIndex.fit([]).scores("anything").shape == (0,)
    assert not WordIndex.fit(["", "?"]).scores("anything").any()


@given(st.lists(st.text(max_size=20), max_size=6), st.text(max_size=20))
def test_an_item_scores_at_most_what_its_own_text_does(texts: list[str], request_: str) -> None:
    index = WordIndex.fit(texts)
    found = index.scores(request_)
    assert (found >= 0).all()
    for row, text in enumerate(texts):
        assert found[row] <= index.scores(text)[row] + 1e-5


def test_a_loaded_index_says_the_same(tmp_path: Path) -> None:
    index = TextIndex.fit([Item(str(n), text) for n, text in enumerate(TEXTS)], HashingEncoder(8), "hashing")
    index.save(tmp_path)
    np.testing.assert_array_equal(TextIndex.load(tmp_path).shared("quiet 穿越 game"), index.shared("quiet 穿越 game"))
    assert index.shared("quiet 穿越 game").any()


def test_an_index_of_an_older_version_says_what_to_do(tmp_path: Path) -> None:
    TextIndex.fit([Item("a", "x")], HashingEncoder(8), "hashing").save(tmp_path)
    arrays, settings = read_tensors(tmp_path)
    write_tensors(tmp_path, {"vectors": arrays["vectors"]}, settings)
    with pytest.raises(WorkspaceError, match="older version") as caught:
        TextIndex.load(tmp_path)
    assert "genrec fit" in caught.value.hint
