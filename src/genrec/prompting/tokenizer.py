"""A model's tokenizer and chat template from its folder, without torch and transformers."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import tokenizers
from jinja2 import Template as CompiledTemplate
from jinja2 import TemplateError as JinjaError
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from genrec.errors import ModelError
from genrec.prompting.rendered import Message

_MARKER = re.compile(r"\W.*\w.*\W", re.DOTALL)
_TOKEN_NAMES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")


class ChatTokenizer:
    """Implements `genrec.prompting.rendered.Tokenizer`; equal to what transformers does with the same files."""

    def __init__(
        self, tokenizer: tokenizers.Tokenizer, chat_template: str, special_tokens: dict[str, str] | None = None
    ) -> None:
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self._tokenizer = tokenizer
        self._chat = _chat_template(chat_template)
        self._special = special_tokens or {}
        # Markers such as <think> are no "special" tokens in some files, but structure all the same.
        control = {
            number: token.content
            for number, token in tokenizer.get_added_tokens_decoder().items()
            if token.special or _MARKER.fullmatch(token.content)
        }
        self.control_strings = frozenset(control.values())
        self.control_ids = frozenset(control)

    def encode(self, text: str) -> list[int]:
        """Token ids without added specials; control strings in `text` become control tokens."""
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def encode_with_starts(self, text: str) -> tuple[list[int], list[int]]:
        """Token ids, and for each the position in `text` at which it starts."""
        encoding = self._tokenizer.encode(text, add_special_tokens=False)
        return encoding.ids, [start for start, _ in encoding.offsets]

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """`encode` of each text."""
        return [encoding.ids for encoding in self._tokenizer.encode_batch(list(texts), add_special_tokens=False)]

    def decode(self, token_ids: Sequence[int]) -> str:
        """The text of token ids, special tokens included."""
        return str(self._tokenizer.decode(list(token_ids), skip_special_tokens=False))

    def apply_chat_template(self, messages: Sequence[Message], add_generation_prompt: bool) -> str:
        """The model's own chat template over the messages, as text."""
        try:
            return self._chat.render(
                messages=[{"role": message.role, "content": message.content} for message in messages],
                tools=None,
                documents=None,
                add_generation_prompt=add_generation_prompt,
                **self._special,
            )
        except JinjaError:
            raise ModelError(
                "the chat template of the model refuses these messages",
                "some models take no system message: choose a template without one",
            ) from None


def load_tokenizer(model_folder: Path) -> ChatTokenizer:
    """Reads tokenizer.json, tokenizer_config.json and the chat template; ModelError says which file is wrong."""
    file = model_folder / "tokenizer.json"
    if not file.is_file():
        raise ModelError(f"there is no tokenizer.json in {model_folder}", "name the folder of a converted model")
    try:
        tokenizer = tokenizers.Tokenizer.from_file(str(file))
    except Exception as error:
        raise ModelError(f"{file} cannot be read", "fetch or convert the model again") from error
    settings = _read_json(model_folder / "tokenizer_config.json")
    special = {name: _content(settings[name]) for name in _TOKEN_NAMES if settings.get(name)}
    return ChatTokenizer(tokenizer, _find_chat_template(model_folder, settings), special)


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        data = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise ModelError(f"{path} is not valid JSON", "fetch or convert the model again") from error
    return data if isinstance(data, dict) else {}


def _content(token: Any) -> str:
    return str(token["content"] if isinstance(token, dict) else token)


def _find_chat_template(folder: Path, settings: dict[str, Any]) -> str:
    file = folder / "chat_template.jinja"
    if file.is_file():
        return file.read_text("utf-8")
    found = settings.get("chat_template")
    if isinstance(found, list):
        found = {entry["name"]: entry["template"] for entry in found}.get("default")
    if not isinstance(found, str):
        raise ModelError(f"the model in {folder} has no chat template", "use an instruction-tuned model")
    return found


@lru_cache(maxsize=16)
def _chat_template(source: str) -> CompiledTemplate:
    """As transformers compiles it: sandboxed, blocks trimmed, with `break` and `continue`."""

    def raise_exception(message: str) -> None:
        raise JinjaError(message)

    def to_json(value: Any, ensure_ascii: bool = False, **options: Any) -> str:
        return json.dumps(value, ensure_ascii=ensure_ascii, **options)

    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
    environment.filters["tojson"] = to_json
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    try:
        return environment.from_string(re.sub(r"{%-?\s*(end)?generation\s*-?%}", "", source))
    except JinjaError as error:
        raise ModelError("the chat template of the model is not valid Jinja", "fetch the model again") from error
