"""An example as the model reads it: through the renderer of serving, with its guard and its budget."""

from __future__ import annotations

from genrec.prompting.render import render
from genrec.prompting.rendered import Tokenizer
from genrec.prompting.template import Template
from genrec.ranking.labels import label_orders
from genrec.training.base import Example, TokenSlate


def tokenise(
    example: Example,
    template: Template,
    tokenizer: Tokenizer,
    block: int = 1,
    *,
    context_tokens: int | None = None,
    seed: int = 0,
) -> TokenSlate:
    """The token ids that the ranker of the template would send for this slate.

    `block` and `context_tokens` are those of the engine that will serve. `seed` draws the order of the lines under
    label templates, as the seed of a ranking task does; give each example of each epoch its own. Raises what rendering
    raises: BudgetError, GuardError, TemplateError.
    """
    labelled = template.output.kind == "ranking"
    order = label_orders(len(example.candidates.items), 1, seed)[0].tolist() if labelled else None
    history, candidates = example.history, example.candidates
    if example.evidence is not None:  # only now, as a varied history is all that the system would know of
        history, candidates = example.evidence.attached(history, candidates)
    prompt = render(
        template,
        history=history,
        candidates=candidates,
        query=example.query,
        context=example.context,
        tokenizer=tokenizer,
        block=block,
        order=order,
        context_tokens=context_tokens,
    )
    return TokenSlate(prompt.prefix, prompt.suffixes, prompt.label_ids, example.target, example.weight, example.offset)
