"""What every template costs in tokens; counts are kept between calls, as a tokenizer takes long to load."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import genrec
from genrec.artifacts import downloads
from genrec.errors import GenrecError
from genrec.prompting.cases import RenderInputs, find_case, inputs_of, render_inputs
from genrec.prompting.library import TemplateLibrary
from genrec.prompting.template import Template

if TYPE_CHECKING:
    from genrec.prompting.tokenizer import ChatTokenizer

FILE = "prompt-tokens.json"
_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
_MOST = 2000

Cost = dict[str, int]
"""Tokens of `prefix` and of all `tails`, how many `prompts`, and the `longest` of them."""


class Costs:
    """Counts with the tokenizer of a model folder, for the same inputs, or for the first case of each template."""

    def __init__(self, library: TemplateLibrary, model: Path, inputs: RenderInputs | None = None) -> None:
        self._library, self._model, self._inputs = library, model, inputs
        self._known = _read(downloads.root() / FILE)
        self._new: dict[str, Cost] = {}

    def of(self, template: Template) -> Cost | None:
        """None where the template does not take the inputs, or has no case."""
        try:
            inputs = self._inputs or inputs_of(find_case(template, self._library, None))
            key = self._key(template, inputs)
            if key not in self._known:
                self._known[key] = self._new[key] = _counted(template, inputs, lambda: self._tokenizer)
            return self._known[key]
        except GenrecError:
            return None

    def keep(self) -> None:
        """Writes what was counted anew; a cache that cannot be written is none."""
        if not self._new:
            return
        file = downloads.root() / FILE
        kept = dict([*self._known.items()][-_MOST:])
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            temporary = file.with_name(f".{FILE}.new")
            temporary.write_text(json.dumps(kept), "utf-8")
            temporary.replace(file)
        except OSError:
            return

    def _key(self, template: Template, inputs: RenderInputs) -> str:
        parts = [genrec.__version__, template.id, template.hash, self._fingerprint, repr(inputs)]
        return hashlib.sha256(json.dumps(parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]

    @cached_property
    def _fingerprint(self) -> list[tuple[str, int, int]]:
        stats = [(str(path), path.stat()) for path in map(self._model.joinpath, _FILES) if path.is_file()]
        return [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]

    @cached_property
    def _tokenizer(self) -> ChatTokenizer:
        from genrec.prompting.tokenizer import load_tokenizer

        return load_tokenizer(self._model)


def _counted(template: Template, inputs: RenderInputs, tokenizer: Callable[[], ChatTokenizer]) -> Cost:
    prompt = render_inputs(template, inputs, tokenizer())
    prompts = list(map(len, prompt.prompts()))
    tails = sum(map(len, prompt.suffixes))
    return {"prefix": len(prompt.prefix), "tails": tails, "prompts": len(prompts), "longest": max(prompts)}


def _read(file: Path) -> dict[str, Cost]:
    try:
        known = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}
