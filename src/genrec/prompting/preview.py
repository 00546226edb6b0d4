"""A rendered prompt as people look at it: text, tokens, what was dropped, and what the engine's cache keeps of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from genrec.domain import Candidates
from genrec.prompting.cases import TAIL_END, RenderInputs, render_inputs, text_of
from genrec.prompting.rendered import RenderedPrompt, Tokenizer
from genrec.prompting.template import Template

_OTHER_TITLE = "#"


@dataclass(frozen=True, slots=True)
class Preview:
    """A prompt with its text. `cached` tokens of its start stay the same while only the candidates change."""

    template: Template
    prompt: RenderedPrompt
    text: str
    marked: str
    """The text with a line where the cached prefix ends."""
    cached: int
    roles: tuple[tuple[str, int], ...]
    """Role and tokens of each message, as the template wrote it."""

    @property
    def longest(self) -> int:
        """Tokens of the longest prompt."""
        return max(map(len, self.prompt.prompts()))

    @property
    def tails(self) -> int:
        """Tokens behind the shared prefix, of all candidates; 0 where there is one prompt."""
        return sum(map(len, self.prompt.suffixes))

    @property
    def computed(self) -> int:
        """Tokens that an engine with a prefix cache computes for a whole slate of a new user."""
        return len(self.prompt.prefix) + self.tails

    def as_json(self) -> dict[str, Any]:
        """Everything that the command shows."""
        budget = self.template.budget
        return {
            "template": asdict(self.prompt.template),
            "messages": [
                {"role": role, "tokens": tokens, "content": message.content}
                for (role, tokens), message in zip(self.roles, self.prompt.messages, strict=True)
            ],
            "text": self.text,
            "tokens": dict(self.prompt.tokens),
            "dropped": [asdict(note) for note in self.prompt.dropped],
            "prompts": len(self.prompt.prompts()),
            "longest": self.longest,
            "computed": self.computed,
            "limit": budget.context - budget.reserve,
            "cached_prefix": self.cached,
        }


def preview(template: Template, inputs: RenderInputs, tokenizer: Tokenizer, block: int = 1) -> Preview:
    """Renders as serving does. A listwise prompt is rendered a second time with other titles, to see what stays."""
    prompt = render_inputs(template, inputs, tokenizer, block)
    cached = len(prompt.prefix) if prompt.suffixes else _kept(template, inputs, tokenizer, prompt, block)
    return Preview(
        template=template,
        prompt=prompt,
        text=text_of(prompt, tokenizer),
        marked=_marked(prompt, tokenizer, cached),
        cached=cached,
        roles=tuple((message.role, len(tokenizer.encode(message.content))) for message in prompt.messages),
    )


def _kept(template: Template, inputs: RenderInputs, tokenizer: Tokenizer, prompt: RenderedPrompt, block: int) -> int:
    others = tuple(
        replace(candidate, item=replace(candidate.item, title=_OTHER_TITLE, metadata={}))
        for candidate in inputs.candidates.items
    )
    other = render_inputs(template, replace(inputs, candidates=Candidates(others)), tokenizer)
    pairs = zip(prompt.prefix, other.prefix, strict=False)
    same = next((place for place, (mine, its) in enumerate(pairs) if mine != its), len(prompt.prefix))
    return same // block * block


def _marked(prompt: RenderedPrompt, tokenizer: Tokenizer, cached: int) -> str:
    head = tokenizer.decode(prompt.prefix[:cached])
    tails = [prompt.prefix[cached:]] if not prompt.suffixes else prompt.suffixes
    line = f"{'═' * 8} cached prefix ends, {cached} tokens {'═' * 8}"
    return f"{head}\n{line}\n" + f"\n{TAIL_END}\n".join(tokenizer.decode(tail) for tail in tails)
