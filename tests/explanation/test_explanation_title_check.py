"""Which titles a text names, and what in it comes from nowhere."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genrec.explanation.title_check import Titles, words_beside

CATALOGUE = [
    *("Alien (1979)", "Aliens (1986)", "Alien Resurrection (1997)", "Matrix, The (1999)", "Heat (1995)", "It (1990)"),
    *(
        "Big (1988)",
        "Game, The (1997)",
        "Star Wars: Episode IV - A New Hope (1977)",
        "Fargo (1996)",
        "Toy Story (1995)",
    ),
    *("Schindler's List (1993)", "1984", "英雄", "大话西游之大圣娶亲", "千与千寻"),
]
OWN = ["Alien (1979)", "Heat (1995)", "Toy Story (1995)", "千与千寻"]
SOURCE = (
    "watched Alien (1979), Horror\n1. Heat (1995), by Michael Mann\n2. Toy Story (1995)\nasked for: 'something light'"
)


def foreign(text: str) -> str | None:
    return Titles(CATALOGUE).foreign(text, OWN, SOURCE)


@pytest.mark.parametrize(
    "text",
    [
        "It is like Alien, and Heat's pace suits you.",
        "You play the game, and this Toy Story film is fun.",
        "“Heat” by Michael Mann is 'something light'; “Toy Story” (1995) too.",
        "toy story (1995) fits people who don't like others' films.",
        "**Heat**: directed by Michael Mann.",
        "看了《千与千寻》的人也喜欢 Heat。",
        "千与千寻很好看",
        "Big fun since 1984.",
        "",
    ],
)
def test_what_may_be_said(text: str) -> None:
    assert foreign(text) is None


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("After Alien comes Aliens.", "another title"),
        ("Like Alien Resurrection.", "another title"),  # the longest title counts, not the one that it begins with
        ("Fargo is fun.", "another title"),
        ("as in the Matrix", "another title"),
        ("It is close to schindler's list.", "another title"),
        ("You play The Game.", "another title"),
        ("Star Wars is close.", "another title"),
        ("Try Big.", "another title"),
        ("'It' is close.", "another title"),
        ("看了《英雄》的人", "another title"),
        ("看了英雄的人也看这个", "another title"),
        ("和大话西游之大圣娶亲很像", "another title"),
        ("“Heath” is close.", "a title that does not exist"),
        ("如《千与千寻续集》", "a title that does not exist"),
        ("Toy Story 2 is next.", "a title that does not exist"),
        ("You liked Galactic Warriors.", "a name from nowhere"),
        ("A film by Quentin Tarantino", "a name from nowhere"),
        ("more at https://example.org", "a link"),
        ("[Heat](example.org)", "a link"),
    ],
)
def test_what_must_not_be_said(text: str, what: str) -> None:
    assert foreign(text) == what


def test_titles_alone_are_few_words() -> None:
    assert words_beside("Heat (1995), Alien", OWN) == 0
    assert words_beside("Like Heat, 2 of it.", OWN) == 3
    assert words_beside("和千与千寻一样好", OWN) == 4


@given(st.text(max_size=200), st.lists(st.text(max_size=40), max_size=5))
def test_any_text_is_judged(text: str, titles: list[str]) -> None:
    assert isinstance(Titles(titles).foreign(text, titles[:2], text), str | None)


@given(st.sampled_from(CATALOGUE), st.sampled_from(["Because of {}, this.", "“{}” is near.", "看了《{}》"]))
def test_a_title_as_the_catalogue_writes_it_is_always_known(title: str, sentence: str) -> None:
    text = sentence.format(title)
    if title != "It (1990)" or "“" in sentence or "《" in sentence:
        found = Titles(CATALOGUE).foreign(text, [one for one in CATALOGUE if one != title], "")
        assert found == ("another title" if title != "1984" or "Because" not in sentence else None)
    assert Titles(CATALOGUE).foreign(text, [title], "") is None
