"""A template of a call rendered by the function that serving calls, as the page shows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace

from genrec.errors import ModelError
from genrec.llm.scripted import ScriptedModel
from genrec.prompting.cases import find_case, render_case
from genrec.prompting.library import TemplateLibrary
from genrec.prompting.rendered import RenderedPrompt
from genrec.prompting.template import Template
from genrec.prompting.tokenizer import ChatTokenizer
from genrec.ranking.labels import label_orders, render_task
from genrec.serving.playground.calls import Call, Dropped, Labels, Message, Prompt

MAX_TEXT = 1 << 20
"""Characters of a prompt that a page is sent."""


def rendered(call: Call, library: TemplateLibrary, tokenizer: ChatTokenizer | None) -> Prompt:
    """The prompt, with the places where an engine's cache of it ends."""
    if tokenizer is None:
        raise ModelError("no tokenizer is at hand", "fetch a model: genrec data fetch smollm2-135m")
    template = library.get(call.template)
    prompts = _prompts(call, template, library, tokenizer)
    first = prompts[0]
    text = tokenizer.decode(first.prefix)
    if len(text) > MAX_TEXT:
        raise ModelError("the prompt is too long to be shown", "lower budget.context")
    cached = len(first.prefix) if first.suffixes else _shared(prompts[0].prefix, prompts[-1].prefix, call.block)
    own = min(template.budget.context, call.context or template.budget.context)
    orders = prompts if first.suffixes else prompts[:-1]
    return Prompt(
        output=template.output.kind,
        messages=tuple(_messages(first, text, len(tokenizer.decode(first.prefix[:cached])), tokenizer)),
        tails=tuple(tokenizer.decode(suffix) for suffix in first.suffixes),
        tokens=dict(first.tokens),
        cached=cached,
        longest=max(map(len, first.prompts())),
        limit=own - template.budget.reserve,
        dropped=tuple(Dropped(**asdict(note)) for note in first.dropped),
        labels=tuple(Labels(names=prompt.labels, ids=prompt.label_ids) for prompt in orders),
    )


def _prompts(
    call: Call, template: Template, library: TemplateLibrary, tokenizer: ChatTokenizer
) -> list[RenderedPrompt]:
    """The prompts that a ranker reads, and behind them, where there is no shared prefix, one of another slate.

    What that one has in common with the first is what the cache holds for the next request of the same user.
    """
    if call.task is None:
        return _of_case(call, template, library, tokenizer)
    model, task = ScriptedModel(block=call.block, context=call.context or 1 << 30), call.task
    if template.output.kind == "yes_no":
        return [render_task(template, tokenizer, model, task)]
    slate = task.candidates.items
    other = tuple(replace(one, item=replace(one.item, title=_other(one.item.title))) for one in slate)
    tasks = [task] * call.orders if template.output.kind == "ranking" else [task]
    orders = label_orders(len(slate), len(tasks), task.seed)
    return [
        render_task(template, tokenizer, model, one, order if template.output.kind == "ranking" else None)
        for one, order in zip(
            [*tasks, replace(task, candidates=replace(task.candidates, items=other))], [*orders, orders[0]], strict=True
        )
    ]


def _of_case(
    call: Call, template: Template, library: TemplateLibrary, tokenizer: ChatTokenizer
) -> list[RenderedPrompt]:
    asked = call.case
    case = find_case(template, library, asked.name if asked else None)
    if asked is not None:
        given = {"request": asked.request, "context": asked.context}
        update = {name: value for name, value in given.items() if value is not None}
        case = replace(case, inputs=case.inputs.model_copy(update=update))
    slate = case.inputs.candidates
    other = tuple(one.model_copy(update={"title": _other(one.title)}) for one in slate)
    turned = replace(case, inputs=case.inputs.model_copy(update={"candidates": other}))
    cases = [case] if template.output.kind == "yes_no" else [case, turned]
    return [render_case(template, one, tokenizer, call.block) for one in cases]


def _other(title: str) -> str:
    """Another title that takes about as many tokens, so that as much of the history is kept."""
    return ("*" if title.startswith("~") else "~") + title[1:]


def _shared(tokens: Sequence[int], others: Sequence[int], block: int) -> int:
    """Length of the common start, in whole blocks."""
    same = next((i for i, (a, b) in enumerate(zip(tokens, others, strict=False)) if a != b), len(tokens))
    return same // block * block


def _messages(prompt: RenderedPrompt, text: str, cached: int, tokenizer: ChatTokenizer) -> list[Message]:
    """The messages with their share of the cached prefix, whose text is the first `cached` characters of `text`."""
    found, position = [], 0
    for message in prompt.messages:
        start = text.find(message.content.strip(), position)
        body = message.content.lstrip()
        inside = 0 if start < 0 else min(max(cached - start, 0), len(body))
        if start >= 0:
            position = start + len(body.rstrip())
        lead = len(message.content) - len(body) if inside else 0
        tokens = len(tokenizer.encode(message.content))
        found.append(Message(role=message.role, text=message.content, tokens=tokens, cached=inside + lead))
    return found
