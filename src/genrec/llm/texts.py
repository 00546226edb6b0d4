"""Free text token by token: pieces of text from token ids, and where a text ends."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from functools import lru_cache
from pathlib import Path

from tokenizers import Tokenizer
from tokenizers.decoders import DecodeStream


class Decoder:
    """Turns token ids into text as they come: characters of several tokens come whole, special tokens not at all."""

    def __init__(self, model_folder: Path) -> None:
        self._tokenizer = _tokenizer(model_folder)
        self._stream = DecodeStream(skip_special_tokens=True)

    def __call__(self, token_id: int) -> str:
        """What the token adds; '' where it ends no character."""
        return self._stream.step(self._tokenizer, token_id) or ""


async def until(pieces: AsyncIterator[str], stop: Sequence[str]) -> AsyncIterator[str]:
    """The pieces up to the first of the texts `stop`, which is left out even where pieces cut it."""
    held, longest = "", max(map(len, stop), default=0)
    async for piece in pieces:
        held += piece
        ends = [place for text in stop if (place := held.find(text)) >= 0]
        if ends:
            held = held[: min(ends)]
            break
        if ready := held[: len(held) - longest + 1] if longest else held:
            yield ready
            held = held[len(ready) :]
    if held:
        yield held


@lru_cache(maxsize=4)
def _tokenizer(model_folder: Path) -> Tokenizer:
    return Tokenizer.from_file(str(model_folder / "tokenizer.json"))
