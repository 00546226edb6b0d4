"""From data and a template to token ids: the one function that serving, previews, evaluation and training call."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

from genrec.domain import Candidate, Candidates, History
from genrec.errors import GuardError, TemplateError
from genrec.prompting import budget, syntax
from genrec.prompting.labels import letter_labels, yes_no_ids
from genrec.prompting.rendered import Message, PromptDropped, RenderedPrompt, Tokenizer
from genrec.prompting.syntax import CLOSE, MARKS
from genrec.prompting.template import OLD_QUERY, QUERY, Template, YesNo
from genrec.prompting.views import ItemView, ViewMaker

_END_OF_PREFIX = "\ue0fe"
"""Stands where the shared prefix ends while the chat template is applied; the guard keeps data free of it."""


def render(
    template: Template,
    *,
    history: History,
    candidates: Candidates | None = None,
    query: str | None = None,
    context: Mapping[str, str] | None = None,
    tokenizer: Tokenizer,
    block: int = 1,
    order: Sequence[int] | None = None,
    context_tokens: int | None = None,
) -> RenderedPrompt:
    """Renders, guards, fits into the budget, and tokenises.

    `history` should be whole: the template keeps what it wants of it, in lots that leave cached prefixes valid.
    `order` (ranking templates): the slate position shown on each line, `order[0]` first; identity if not given.
    `block`: the shared prefix of a yes-no template is padded to a multiple of it with newlines.
    `context_tokens`: context of the engine, where it is smaller than that of the template.
    Raises BudgetError (does not fit), GuardError (data would change the structure), TemplateError.
    """
    slate = candidates.items if candidates else ()
    lines = _checked_order(order, len(slate))
    data = _Data(template, tokenizer, history, [slate[position] for position in lines], query, context)
    cuts = budget.first_cuts(template, data.totals())
    limit = min(template.budget.context, context_tokens or template.budget.context) - template.budget.reserve
    while True:
        values = data.values(cuts)
        layout = _lay_out(template, values, tokenizer, block)
        over = layout.longest - limit
        if over <= 0:
            break
        costs = {name: data.costs(name, values[name]) for name in cuts}
        cuts = budget.further_cuts(template, cuts, over, costs, layout.tokens)
    dropped = tuple(budget.dropped(cuts) + data.shortened)
    return _finish(template, tokenizer, layout, lines, data.labels, dropped)


class _Data:
    """The inputs of one rendering as views; history views are made for kept items only."""

    def __init__(
        self,
        template: Template,
        tokenizer: Tokenizer,
        history: History,
        lines: list[Candidate],
        query: str | None,
        context: Mapping[str, str] | None,
    ) -> None:
        self.template, self.tokenizer = template, tokenizer
        self.history = history
        answers = template.output.labels
        answer = answers.yes if isinstance(answers, YesNo) else ""
        self.maker = ViewMaker(tokenizer, template.language, _uses_fields(template), answer, answers == "letters")
        self.shortened: list[PromptDropped] = []
        self.labels: tuple[tuple[str, int], ...] = ()
        inputs = template.inputs
        if template.output.kind == "ranking":
            self.labels = letter_labels(tokenizer, closing_text(tokenizer), len(lines))
        names = [label for label, _ in self.labels]
        self.lines, cut = self.maker.candidates(lines, names, inputs["candidates"])
        self._note("candidates", cut)
        self.fixed: dict[str, Any] = {}
        if asked := {QUERY, OLD_QUERY} & inputs.keys():
            (name,) = asked
            text, cut = self.maker.text(query or "", inputs[name])
            self.fixed[name] = text
            self._note(name, cut, f"tokens behind the first {inputs[name].max_tokens}")
        if "context" in inputs:
            self.fixed["context"], cut = self.maker.facts(context or {}, inputs["context"])
            self._note("context", cut)

    def totals(self) -> dict[str, int]:
        return {"history": len(self.history.entries), "candidates": len(self.lines)}

    def values(self, cuts: Mapping[str, budget.Cut]) -> dict[str, Any]:
        spec = self.template.inputs["history"]
        kept = self.history.entries[cuts["history"].window(spec.keep)]
        views, cut = self.maker.history(kept, self.history.evidence, spec)
        self.shortened = [note for note in self.shortened if note.input != "history"]
        self._note("history", cut)
        return {"history": views, "candidates": tuple(self.lines), **self.fixed}

    def costs(self, name: str, views: Sequence[ItemView]) -> list[int]:
        texts = [
            f"- {view.verb} {view.title}, {view.year}, {', '.join(view.genres)}, {view.rating}\n" for view in views
        ]
        return [len(ids) for ids in self.tokenizer.encode_batch(texts)]

    def _note(self, name: str, count: int, reason: str = "") -> None:
        if count:
            limit = self.template.inputs[name].item_tokens
            self.shortened.append(PromptDropped(name, count, reason or f"shortened to {limit} tokens"))


@dataclass(frozen=True, slots=True)
class _Layout:
    messages: tuple[Message, ...]
    prefix: list[int]
    suffixes: list[tuple[int, ...]]
    tokens: dict[str, int]

    @property
    def longest(self) -> int:
        return len(self.prefix) + max(map(len, self.suffixes), default=0)


def _lay_out(template: Template, values: Mapping[str, Any], tokenizer: Tokenizer, block: int) -> _Layout:
    collected = syntax.run(template, values)
    clean = [(Message(role, text), spans) for role, text, spans in map(_unmark, collected.messages)]
    messages, spans = tuple(message for message, _ in clean), [spans for _, spans in clean]
    if template.output.kind != "yes_no":
        text = tokenizer.apply_chat_template(messages, add_generation_prompt=True)
        prefix, starts = tokenizer.encode_with_starts(text)
        check_structure(tokenizer, messages, [prefix])
        return _Layout(messages, prefix, [], _account(template, text, starts, messages, spans))
    tails = [MARKS.sub("", tail) for tail in collected.tails]
    head = _head_text(tokenizer, messages)
    prefix, starts = tokenizer.encode_with_starts(head)
    suffixes = [_tail_ids(tokenizer, messages[:-1], messages[-1].role, tail) for tail in tails]
    check_structure(tokenizer, messages, [(*prefix, *suffix) for suffix in suffixes])
    tokens = _account(template, head, starts, messages, spans)
    padding = -len(prefix) % block
    tokens |= {"candidates": sum(map(len, suffixes)), "padding": padding}
    return _Layout(messages, prefix + _newline(tokenizer) * padding, suffixes, tokens)


def _head_text(tokenizer: Tokenizer, messages: tuple[Message, ...]) -> str:
    """The shared prefix as the chat template writes it."""
    *before, last = messages
    text = tokenizer.apply_chat_template([*before, Message(last.role, last.content + _END_OF_PREFIX + "x")], True)
    return _halves(text)[0]


@lru_cache(maxsize=32768)
def _tail_ids(tokenizer: Tokenizer, before: tuple[Message, ...], role: str, tail: str) -> tuple[int, ...]:
    """Tokens from the end of the shared prefix on; the same for every user, so they are kept."""
    text = tokenizer.apply_chat_template([*before, Message(role, _END_OF_PREFIX + tail)], True)
    return tuple(tokenizer.encode(_halves(text)[1]))


def _halves(text: str) -> tuple[str, str]:
    parts = text.split(_END_OF_PREFIX)
    if len(parts) != 2:
        raise GuardError(
            "the end of the shared prefix is not where it should be",
            "a private-use character stands in the template, or the chat template of this model rewrites messages",
        )
    return parts[0], parts[1]


def _finish(
    template: Template,
    tokenizer: Tokenizer,
    layout: _Layout,
    lines: Sequence[int],
    labels: Sequence[tuple[str, int]],
    dropped: tuple[PromptDropped, ...],
) -> RenderedPrompt:
    names: tuple[str, ...] = ()
    ids: tuple[int, ...] = ()
    suffixes = layout.suffixes
    if isinstance(template.output.labels, YesNo):
        answers = template.output.labels
        names, ids = (answers.yes, answers.no), yes_no_ids(tokenizer, closing_text(tokenizer), answers.yes, answers.no)
        suffixes = _to_slate_order(suffixes, lines)
    elif labels:
        in_order = _to_slate_order(labels, lines)
        names, ids = tuple(name for name, _ in in_order), tuple(token for _, token in in_order)
        if not set(ids) <= set(layout.prefix):
            raise TemplateError(
                f"{template.path}:{template.body_line}: a label of a candidate is not a token of its own in the prompt",
                "write {{ item.label }} at the start of a line, followed by a full stop",
            )
    return RenderedPrompt(
        template=template.ref,
        messages=layout.messages,
        prefix=tuple(layout.prefix),
        suffixes=tuple(suffixes),
        label_ids=ids,
        labels=names,
        dropped=dropped,
        tokens=layout.tokens,
    )


T = TypeVar("T")


def _to_slate_order(shown: Sequence[T], lines: Sequence[int]) -> list[T]:
    return [value for _, value in sorted(zip(lines, shown, strict=True), key=lambda pair: pair[0])]


def _checked_order(order: Sequence[int] | None, count: int) -> Sequence[int]:
    if order is None:
        return range(count)
    if sorted(order) != list(range(count)):
        raise ValueError("order must be a permutation of the positions of the slate")
    return order


def _unmark(message: tuple[str, str]) -> tuple[str, str, list[tuple[int, int, int]]]:
    """Role, text without marks, and (input, start, end) of every part that came from an input."""
    role, content = message
    text, length, spans = [], 0, []
    current, start = -1, 0
    for part in MARKS.split(content):
        if len(part) == 1 and "\ue000" <= part <= "\ue0ff":
            if part == CLOSE:
                spans.append((current, start, length))
            current, start = ord(part) - 0xE000, length
        else:
            text.append(part)
            length += len(part)
    return role, "".join(text), spans


def _account(
    template: Template,
    text: str,
    starts: Sequence[int],
    messages: Sequence[Message],
    spans: Sequence[Sequence[tuple[int, int, int]]],
) -> dict[str, int]:
    """Tokens of each input and of the fixed text; a token belongs to where it starts."""
    tokens = {"fixed": len(starts), **dict.fromkeys(template.inputs, 0)}
    names, position = list(template.inputs), 0
    for message, parts in zip(messages, spans, strict=True):
        found = text.find(message.content.strip(), position)
        if found < 0:
            continue
        offset = found - (len(message.content) - len(message.content.lstrip()))
        for which, start, end in parts:
            count = bisect_left(starts, offset + end) - bisect_left(starts, offset + start)
            tokens[names[which]] += count
            tokens["fixed"] -= count
        position = found + len(message.content.strip())
    return tokens


def check_structure(tokenizer: Tokenizer, messages: Sequence[Message], prompts: Sequence[Sequence[int]]) -> None:
    """Fails closed unless the control tokens are those of the same messages with dummy content."""
    expected = _control_tokens(tokenizer, tuple(message.role for message in messages))
    control = tokenizer.control_ids
    if any([token for token in prompt if token in control] != expected for prompt in prompts):
        raise GuardError(
            "text in the prompt would have changed its structure",
            "a control string of the model stands in the template, or in data in a form that the guard does not know",
        )


@lru_cache(maxsize=64)
def _control_tokens(tokenizer: Tokenizer, roles: tuple[str, ...]) -> list[int]:
    dummy = tokenizer.apply_chat_template([Message(role, "x") for role in roles], add_generation_prompt=True)
    return [token for token in tokenizer.encode(dummy) if token in tokenizer.control_ids]


@lru_cache(maxsize=8)
def closing_text(tokenizer: Tokenizer) -> str:
    """What the chat template writes between the end of the last message and the model's answer."""
    text = tokenizer.apply_chat_template([Message("user", _END_OF_PREFIX)], add_generation_prompt=True)
    return text.partition(_END_OF_PREFIX)[2]


@lru_cache(maxsize=8)
def _newline(tokenizer: Tokenizer) -> list[int]:
    return tokenizer.encode("x\n")[-1:]


@lru_cache(maxsize=256)
def _uses_fields(template: Template) -> bool:
    return any("fields" in text for text in (template.body, *template.partials.values()))
