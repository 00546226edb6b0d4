"""What rendering yields: token ids that an engine can read, and an account of how they came about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from genrec.domain import TemplateRef


class Tokenizer(Protocol):
    """What rendering asks of a tokenizer; works without torch (see `genrec.prompting.tokenizer`)."""

    control_strings: frozenset[str]
    """Text forms of all special tokens: `<|im_start|>` and so on."""
    control_ids: frozenset[int]

    def __hash__(self) -> int:
        """By identity: what is counted or resolved with a tokenizer is cached with it."""

    def encode(self, text: str) -> list[int]:
        """Token ids without added specials; control strings in `text` become control tokens."""

    def encode_with_starts(self, text: str) -> tuple[list[int], list[int]]:
        """`encode`, and for each token the position in `text` at which it starts."""

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """`encode` of each text."""

    def decode(self, token_ids: Sequence[int]) -> str:
        """The text of token ids, special tokens included."""

    def apply_chat_template(self, messages: Sequence[Message], add_generation_prompt: bool) -> str:
        """The model's own chat template over the messages, as text."""


@dataclass(frozen=True, slots=True)
class Message:
    """One chat message."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class PromptDropped:
    """What the budget took out: of which input, how many items or tokens, and why."""

    input: str
    count: int
    reason: str


@dataclass(frozen=True, slots=True)
class RenderedPrompt:
    """A prompt for a ranker.

    Listwise: `prefix` is the whole prompt, `suffixes` is empty, `label_ids` has one token id for each candidate in
    slate order (candidate i carries label_ids[i]); the lines of the prompt stand in label order.
    Pointwise: `prefix` is shared and ends on a multiple of the engine's block; prompt i is prefix + suffixes[i], in
    slate order; `label_ids` are (yes, no).
    """

    template: TemplateRef
    messages: tuple[Message, ...]
    prefix: tuple[int, ...]
    suffixes: tuple[tuple[int, ...], ...]
    label_ids: tuple[int, ...]
    labels: tuple[str, ...]
    dropped: tuple[PromptDropped, ...] = ()
    tokens: Mapping[str, int] = field(default_factory=dict)
    """Tokens of each block: fixed text, each input, padding."""

    def prompts(self) -> list[tuple[int, ...]]:
        """The prompts to send: one listwise, one for each candidate pointwise."""
        return [self.prefix + suffix for suffix in self.suffixes] if self.suffixes else [self.prefix]
