"""The guard took the colon out of "Star Trek IV: The Voyage Home": a numeral is no label where there are none."""

from pathlib import Path

import pytest

from genrec.domain import Candidate, Candidates, History, Item
from genrec.prompting.guard import guard
from genrec.prompting.library import TemplateLibrary
from genrec.prompting.render import render
from genrec.prompting.tokenizer import load_tokenizer

TITLES = [
    "Star Trek IV: The Voyage Home",
    "Star Trek V: 1989",
    "Rocky II",
    "Episode VI - Jedi",
]
WITHOUT_LABELS = ["Malcolm X. A Life", "M (V) and Q", "B. Monkey", "Plan B: Again"]


@pytest.mark.parametrize("template", ["rank/pointwise", "rank/listwise"])
def test_titles_stand_in_the_prompt_as_people_know_them(tiny_tokenizer_folder: Path, template: str) -> None:
    titles = [*TITLES, *(WITHOUT_LABELS if template == "rank/pointwise" else [])]
    prompt = render(
        TemplateLibrary().get(template),
        history=History("u"),
        candidates=Candidates(tuple(Candidate(Item(title, title), 1.0) for title in titles)),
        tokenizer=load_tokenizer(tiny_tokenizer_folder),
        block=1,
        context_tokens=4096,
    )
    text = "\n".join(message.content for message in prompt.messages) + "\n".join(
        load_tokenizer(tiny_tokenizer_folder).decode(suffix) for suffix in prompt.suffixes
    )
    for title in titles:
        assert title in text


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("Heat B. Ronin", "Heat B Ronin"),
        ("Heat (B) Ronin", "Heat B Ronin"),
        ("B: Heat", "B Heat"),
        ("IV: Heat", "IV Heat"),  # where a label would stand
        ("Heat B: Ronin", "Heat B Ronin"),
        ("Heat IV. Ronin", "Heat IV Ronin"),  # labels of these templates end in a full stop
        ("Heat IV: Ronin", "Heat IV: Ronin"),
        ("Heat IV: V: Ronin", "Heat IV: V Ronin"),  # no title has two
        ("Heat\nV: Ronin", "Heat V: Ronin"),
    ],
)
def test_look_alikes_of_labels_are_rewritten_where_a_template_has_labels(text: str, clean: str) -> None:
    assert guard(text) == clean
    assert guard(clean) == clean


def test_nothing_looks_like_a_label_where_a_template_has_none() -> None:
    for title in (*TITLES, *WITHOUT_LABELS):
        assert guard(title, labels=False) == title
