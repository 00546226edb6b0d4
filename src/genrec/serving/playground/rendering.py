"""A template of a call rendered by the function that serving calls, as the page shows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace

import numpy as np
import numpy.typing as npt

from genrec.errors import ModelError
from genrec.llm.scripted import ScriptedModel
from genrec.prompting.cases import find_case, inputs_of
from genrec.prompting.library import TemplateLibrary
from genrec.prompting.rendered import RenderedPrompt
from genrec.prompting.template import Template
from genrec.prompting.tokenizer import ChatTokenizer
from genrec.ranking.base import RankingTask
from genrec.ranking.labels import label_orders, render_task
from genrec.serving.playground.calls import Call, CaseInputs, Dropped, Labels, Message, Prompt

MAX_TEXT = 1 << 20
"""Characters of a prompt that a page is sent."""


def rendered(call: Call, library: TemplateLibrary, tokenizer: ChatTokenizer | None) -> Prompt:
    """The prompt, with the places where an engine's cache of it ends."""
    if tokenizer is None:
        raise ModelError("no tokenizer is at hand", "fetch a model: genrec data fetch smollm2-135m")
    template = library.get(call.template)
    prompts = _prompts(call, template, _task(call, template, library), tokenizer)
    first = prompts[0]
    text = tokenizer.decode(first.prefix)
    if len(text) > MAX_TEXT:
        raise ModelError("the prompt is too long to be shown", "lower budget.context")
    cached = len(first.prefix) if first.suffixes else _shared(first.prefix, prompts[-1].prefix, call.block)
    context = min(template.budget.context, call.context or template.budget.context)
    orders = prompts if first.suffixes else prompts[:-1]
    return Prompt(
        output=template.output.kind,
        messages=tuple(_messages(first, text, len(tokenizer.decode(first.prefix[:cached])), tokenizer)),
        tails=tuple(tokenizer.decode(suffix) for suffix in first.suffixes),
        tokens=dict(first.tokens),
        cached=cached,
        longest=max(map(len, first.prompts())),
        limit=context - template.budget.reserve,
        dropped=tuple(Dropped(**asdict(note)) for note in first.dropped),
        labels=tuple(Labels(names=prompt.labels, ids=prompt.label_ids) for prompt in orders),
    )


def _task(call: Call, template: Template, library: TemplateLibrary) -> RankingTask:
    """The task of the call, or the case with what is given in place of its own inputs."""
    if call.task is not None:
        return call.task
    asked = call.case or CaseInputs(name=None)
    inputs = inputs_of(find_case(template, library, asked.name))
    query = inputs.query if asked.query is None else asked.query
    context = inputs.context if asked.context is None else asked.context
    return RankingTask(inputs.history, inputs.candidates, query, context)


def _prompts(call: Call, template: Template, task: RankingTask, tokenizer: ChatTokenizer) -> list[RenderedPrompt]:
    """The prompts that a ranker reads, and behind them, where there is no shared prefix, one of another slate.

    What that one has in common with the first is what the cache holds for the next request of the same user.
    """
    model = ScriptedModel(block=call.block, context=call.context or 1 << 30)
    if template.output.kind == "yes_no":
        return [render_task(template, tokenizer, model, task)]
    slate = task.candidates.items
    other = tuple(replace(one, item=replace(one.item, title=_other(one.item.title))) for one in slate)
    orders: Sequence[npt.NDArray[np.intp] | None] = [None]
    if template.output.kind == "ranking":
        # The lines of a case stand as they are written, as in its snapshot.
        orders = [np.arange(len(slate))] if call.task is None else label_orders(len(slate), call.orders, task.seed)
    prompts = [render_task(template, tokenizer, model, task, order) for order in orders]
    task = replace(task, candidates=replace(task.candidates, items=other))
    return [*prompts, render_task(template, tokenizer, model, task, orders[0])]


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
