"""Answers as single tokens, resolved in the context in which the model emits them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from string import ascii_lowercase, ascii_uppercase

from genrec.errors import TemplateError
from genrec.prompting.rendered import Tokenizer


def letter_labels(tokenizer: Tokenizer, context: str, count: int) -> tuple[tuple[str, int], ...]:
    """`count` labels with their token ids: A to Z, then pairs of letters.

    A label is one token both behind `context` (where the model answers) and at the start of a line (where the prompt
    shows it), and the same one. Vocabularies of byte-pair models hold hundreds of pairs of capitals as single tokens,
    numbers of two digits often not; so pairs carry the slates of more than 26.
    """
    labels = _letters(tokenizer, context)
    if count > len(labels):
        raise TemplateError(
            f"the tokenizer has single-token labels for {len(labels)} candidates, not for {count}",
            "show fewer candidates, or rank with a yes_no template, which has no labels",
        )
    return labels[:count]


@lru_cache(maxsize=32)
def answer_id(tokenizer: Tokenizer, context: str, answer: str) -> int | None:
    """Token id of an answer behind `context`; None where it is not one token of its own."""
    before, after = tokenizer.encode(context), tokenizer.encode(context + answer)
    return after[-1] if after[:-1] == before and len(after) == len(before) + 1 else None


def yes_no_ids(tokenizer: Tokenizer, context: str, yes: str, no: str) -> tuple[int, int]:
    """Token ids of the two answers; TemplateError where one is not a single token."""
    ids = answer_id(tokenizer, context, yes), answer_id(tokenizer, context, no)
    if ids[0] is None or ids[1] is None or ids[0] == ids[1]:
        raise TemplateError(
            "an answer of the template is not a token of its own in the vocabulary of the model",
            'choose other words under output.labels, for example yes: "Yes" and no: "No"',
        )
    return ids[0], ids[1]


@lru_cache(maxsize=32)
def _letters(tokenizer: Tokenizer, context: str) -> tuple[tuple[str, int], ...]:
    lines, found, taken = tokenizer.encode("x\n"), [], set()
    for label in _names():
        token = answer_id(tokenizer, context, label)
        if token is None or token in taken:
            continue
        if tokenizer.encode(f"x\n{label}. x")[: len(lines) + 1] == [*lines, token]:
            found.append((label, token))
            taken.add(token)
    return tuple(found)


def _names() -> Iterator[str]:
    yield from ascii_uppercase
    yield from (first + second for first in ascii_uppercase for second in ascii_uppercase)
    yield from (first + second for first in ascii_uppercase for second in ascii_lowercase)
