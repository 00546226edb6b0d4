"""A tiny byte-level tokenizer with a chat template, and small catalogues."""

from __future__ import annotations

from pathlib import Path
from string import ascii_uppercase

import tokenizers
from tokenizers import decoders, pre_tokenizers
from tokenizers.models import BPE

from genrec.domain import Candidate, Candidates, History, HistoryEntry, Item
from genrec.prompting.library import TemplateLibrary
from genrec.prompting.template import Template
from genrec.prompting.tokenizer import ChatTokenizer

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
CONTROL = ("<|im_start|>", "<|im_end|>")


def make_tokenizer(chat_template: str = CHATML) -> ChatTokenizer:
    """`make_vocabulary` with a chat template."""
    return ChatTokenizer(make_vocabulary(), chat_template, {"eos_token": "<|im_end|>"})


def make_vocabulary() -> tokenizers.Tokenizer:
    """Bytes, pairs of capitals, Yes and No are tokens; nothing else is."""
    merges = [(first, second) for first in ascii_uppercase for second in ascii_uppercase]
    merges += [("Y", "e"), ("Ye", "s"), ("N", "o")]
    tokens = sorted(pre_tokenizers.ByteLevel.alphabet()) + [first + second for first, second in merges]
    tokenizer = tokenizers.Tokenizer(BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(CONTROL))
    return tokenizer


def item(name: str, title: str | None = None, **metadata: object) -> Item:
    return Item(name, name if title is None else title, metadata)  # type: ignore[arg-type]


def history(*titles: str, value: float | None = 5.0, event_type: str = "watch") -> History:
    entries = (HistoryEntry(item(str(i), title), float(i), event_type, value) for i, title in enumerate(titles))
    return History("user-secret-id", tuple(entries))


def slate(*titles: str) -> Candidates:
    return Candidates(tuple(Candidate(item(f"id-{i}", title), 1.0) for i, title in enumerate(titles)))


FRONT = """---
version: 1
task: rank
summary: A template of a test.
language: en
inputs:
  history: {type: items, item_tokens: 40, max_items: 20, cut: 1}
  candidates: {type: items, item_tokens: 40}
  query: {type: text, optional: true, max_tokens: 60}
  context: {type: facts, optional: true, max_items: 3, item_tokens: 20}
output: {kind: yes_no, labels: {yes: "Yes", no: "No"}}
budget: {context: 1000, reserve: 8, step: 160}
---
"""
BODY = (
    '{% message "user" %}Did:\n{% for item in history %}- {{ item.title }}\n{% endfor %}{{ query }}'
    "{% for fact in context %}{{ fact.name }}={{ fact.value }} {% endfor %}\n"
    "{% shared_prefix_end %}Next: {{ candidate.title }}{% endmessage %}"
)
LIST_FRONT = FRONT.replace('kind: yes_no, labels: {yes: "Yes", no: "No"}', "kind: ranking, labels: letters")
LIST_BODY = (
    '{% message "user" %}Did:\n{% for item in history %}- {{ item.title }}\n{% endfor %}'
    "{% for item in candidates %}{{ item.label }}. {{ item.title }}\n{% endfor %}{{ query }}{{ context | length }}"
    "{% endmessage %}"
)


def write_template(folder: Path, text: str, name: str = "rank/mine") -> Template:
    """Writes a template into a local folder and loads it."""
    path = folder / f"{name}.prompt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return TemplateLibrary(folder).get(name)
