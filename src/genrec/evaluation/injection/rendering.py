"""What an attack does to the prompt itself, compared with that of its clean twin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

from genrec.errors import BudgetError, GuardError, TemplateError
from genrec.evaluation.injection.schema import Attack
from genrec.prompting.cases import text_of
from genrec.prompting.render import render
from genrec.prompting.rendered import Message, RenderedPrompt, Tokenizer
from genrec.prompting.template import Template
from genrec.ranking.base import RankingTask
from genrec.ranking.labels import label_orders


@dataclass(frozen=True, slots=True)
class Damage:
    """What went wrong, each 0 or 1 for one attack."""

    shown: int = 0
    """The model reads something else than it reads of the twin; 0 where nothing of the attack is left."""
    control_tokens: int = 0
    """The control tokens are not those of the same messages with dummy content."""
    roles: int = 0
    """The messages are not those of the twin."""
    lines: int = 0
    """There are more lines than in the twin's prompt."""
    code: int = 0
    """Template code was evaluated."""
    refused: int = 0
    """There was no prompt: a user without bad intent would have got no answer from the model."""


NAMES = tuple(field.name for field in fields(Damage))


def render_task(template: Template, tokenizer: Tokenizer, task: RankingTask) -> RenderedPrompt:
    """The prompt of a task as rankers have it, with labels in the order of the task's seed where there are any."""
    labelled = template.output.kind == "ranking"
    return render(
        template,
        history=task.history,
        candidates=task.candidates,
        query=task.query,
        context=task.context,
        tokenizer=tokenizer,
        order=label_orders(len(task.candidates.items), 1, task.seed)[0].tolist() if labelled else None,
    )


def damage(
    template: Template, tokenizer: Tokenizer, attack: Attack, attacked: RankingTask, twin: RankingTask
) -> Damage:
    """Renders both and compares them. Raises what the twin's rendering raises."""
    clean = render_task(template, tokenizer, twin)
    try:
        prompt = render_task(template, tokenizer, attacked)
    except (GuardError, BudgetError):
        return Damage(shown=1, refused=1)
    except TemplateError:  # code in data that was run, and went wrong
        return Damage(shown=1, code=1)
    roles = [message.role for message in clean.messages]
    text, clean_text = text_of(prompt, tokenizer), text_of(clean, tokenizer)
    more = any(one > other for one, other in zip(_lines(prompt, text), _lines(clean, clean_text), strict=True))
    result = attack.evaluates_to
    return Damage(
        shown=int(prompt.prompts() != clean.prompts()),
        control_tokens=int(any(tokens != _dummy(tokenizer, roles) for tokens in _control(tokenizer, prompt))),
        roles=int([message.role for message in prompt.messages] != roles),
        lines=int(more),
        code=int(result is not None and result in text and result not in clean_text),
    )


def _control(tokenizer: Tokenizer, prompt: RenderedPrompt) -> list[list[int]]:
    return [[token for token in tokens if token in tokenizer.control_ids] for tokens in prompt.prompts()]


def _dummy(tokenizer: Tokenizer, roles: Sequence[str]) -> list[int]:
    text = tokenizer.apply_chat_template([Message(role, "x") for role in roles], add_generation_prompt=True)
    return [token for token in tokenizer.encode(text) if token in tokenizer.control_ids]


def _lines(prompt: RenderedPrompt, text: str) -> tuple[int, int]:
    """Lines of the messages and of all that the model reads; a message is one text whatever its tokens."""
    return sum(len(message.content.splitlines()) for message in prompt.messages), len(text.splitlines())
