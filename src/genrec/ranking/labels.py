"""What rankers share: seeded label orders, the prompt of a task, and the ranking made of scores."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from genrec.domain import RankedItem, Ranking, TokenUsage
from genrec.errors import TemplateError
from genrec.prompting.render import render
from genrec.prompting.rendered import RenderedPrompt, Tokenizer
from genrec.prompting.template import Template
from genrec.ranking.base import RankingTask

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from genrec.llm.base import LanguageModel


def label_orders(n: int, count: int, seed: int) -> list[npt.NDArray[np.intp]]:
    """`count` random orders of n candidates; entry j of an order is the candidate that stands in line j.

    Without shuffling, a model that prefers early lines would just repeat the retriever.
    """
    import numpy as np  # takes long to load, and naming a ranker needs none

    generator = np.random.default_rng(seed)
    return [generator.permutation(n) for _ in range(count)]


def render_task(
    template: Template,
    tokenizer: Tokenizer,
    model: LanguageModel,
    task: RankingTask,
    order: npt.NDArray[np.intp] | None = None,
) -> RenderedPrompt:
    """The prompt of a task for this model; `order` only for templates whose candidates carry labels."""
    return render(
        template,
        history=task.history,
        candidates=task.candidates,
        query=task.query,
        context=task.context,
        tokenizer=tokenizer,
        block=model.block,
        order=None if order is None else [int(candidate) for candidate in order],
        context_tokens=model.context,
    )


def require_output(template: Template, kind: str, ranker: str) -> None:
    """TemplateError if the template's output is not what the ranker reads."""
    if template.output.kind != kind:
        raise TemplateError(
            f"template {template.id} has output kind {template.output.kind!r}, but the ranker {ranker} reads {kind!r}",
            "set ranking.template to a template made for this ranker, or choose another ranker",
        )


def usage_of(prompts: list[RenderedPrompt], generated: int) -> TokenUsage:
    """Tokens of the prompts; a prefix that several prompts share counts as computed once."""
    total = computed = 0
    seen: set[tuple[int, ...]] = set()
    for prompt in prompts:
        tails = [len(suffix) for suffix in prompt.suffixes] or [0]
        total += len(prompt.prefix) * len(tails) + sum(tails)
        computed += sum(tails) + (0 if prompt.prefix in seen else len(prompt.prefix))
        seen.add(prompt.prefix)
    return TokenUsage(prompt=total, computed=computed, generated=generated)


def by_score(
    scores: npt.NDArray[np.floating[Any]],
    task: RankingTask,
    k: int | None,
    on_item: Callable[[RankedItem], None] | None,
    ranker: str,
    prompts: list[RenderedPrompt],
) -> Ranking:
    """The slate by score, best first; equal scores by id, so that the order of the slate leaves no trace."""
    scored = [
        RankedItem(candidate.item.id, float(score))
        for candidate, score in zip(task.candidates.items, scores, strict=True)
    ]
    scored = sorted(scored, key=lambda item: (-item.score, item.item_id))[:k]
    if on_item is not None:
        for item in scored:
            on_item(item)
    generated = sum(len(prompt.prompts()) for prompt in prompts)
    return Ranking(tuple(scored), ranker, usage_of(prompts, generated), dropped_in_words(prompts[0]))


def dropped_in_words(prompt: RenderedPrompt) -> tuple[str, ...]:
    """What the budget took out of the prompt, one line for each input."""
    return tuple(f"{entry.input}: {entry.count} dropped ({entry.reason})" for entry in prompt.dropped)
