"""transformers: no server and no paged cache, but a shared prefix is still computed once."""

from __future__ import annotations

import asyncio
import copy
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM, DynamicCache
from transformers.utils import logging

from genrec.artifacts.adapters import label
from genrec.artifacts.models import resolve
from genrec.errors import ModelError
from genrec.llm import hardware
from genrec.llm.base import LabelChoice, LogProbs
from genrec.llm.checks import check_generate, check_read, check_write, draw, generator
from genrec.llm.merging import weights
from genrec.llm.texts import Decoder, until
from genrec.settings import ModelSettings

BATCH_TOKENS = 32_768
"""Most tokens, prefix included, whose keys and values one batch of prompts holds."""


class TransformersModel:
    """A model in this process. Calls run in threads, one at a time."""

    block = 1
    exact = False

    def __init__(self, model: Any, name: str, context: int, adapter: str | None = None) -> None:
        self.name = name
        self.adapter = adapter
        self.context = context
        self._model = model.eval()
        self._device = model.device
        self._lock = threading.Lock()
        ends = model.generation_config.eos_token_id
        self.ends = frozenset([ends] if isinstance(ends, int) else ends or ())

    async def score_tokens(
        self, prompts: Sequence[Sequence[int]], token_ids: Sequence[int], *, cache_salt: str | None = None
    ) -> LogProbs:
        """See `LanguageModel.score_tokens`."""
        check_read(prompts, token_ids, self.context)
        return await asyncio.to_thread(self._read, prompts, token_ids)

    async def generate_labels(
        self,
        prompt: Sequence[int],
        labels: Sequence[int],
        k: int,
        *,
        temperature: float = 0.0,
        seed: int = 0,
        cache_salt: str | None = None,
    ) -> AsyncIterator[LabelChoice]:
        """See `LanguageModel.generate_labels`."""
        check_generate(prompt, labels, k, self.context)
        cache = DynamicCache()
        random = generator(seed)
        emitted: list[int] = []
        new = list(prompt)
        for _ in range(k):
            logprobs = (await asyncio.to_thread(self._continue, new, cache, labels))[0]
            label = draw(logprobs, emitted, temperature, random)
            emitted.append(label)
            new = [labels[label]]
            yield LabelChoice(label, float(logprobs[label]))

    async def generate_text(
        self,
        prompt: Sequence[int],
        *,
        max_tokens: int,
        temperature: float = 0.0,
        seed: int = 0,
        stop: Sequence[str] = (),
        cache_salt: str | None = None,
    ) -> AsyncIterator[str]:
        """See `LanguageModel.generate_text`."""
        check_write(prompt, max_tokens, self.context)
        async for piece in until(self._pieces(prompt, max_tokens, temperature, seed), stop):
            yield piece

    async def _pieces(
        self, prompt: Sequence[int], max_tokens: int, temperature: float, seed: int
    ) -> AsyncIterator[str]:
        cache, random, new = DynamicCache(), generator(seed), list(prompt)
        decode = Decoder(resolve(self.name))
        for _ in range(max_tokens):
            logprobs = (await asyncio.to_thread(self._continue, new, cache, None))[0]
            token = draw(logprobs, (), temperature, random)
            if token in self.ends:
                return
            new = [token]
            if piece := decode(token):
                yield piece

    async def close(self) -> None:
        """Lets go of the model."""
        self._model = None

    def _continue(self, tokens: Sequence[int], cache: DynamicCache, token_ids: Sequence[int] | None) -> LogProbs:
        """Appends tokens to a cache of one sequence and reads what follows them: [1, T], of all tokens for None."""
        with self._lock, torch.inference_mode():
            inputs = torch.tensor([list(tokens)], device=self._device)
            return self._forward(token_ids, input_ids=inputs, past_key_values=cache)

    def _read(self, prompts: Sequence[Sequence[int]], token_ids: Sequence[int]) -> LogProbs:
        values = np.empty((len(prompts), len(token_ids)), np.float32)
        if not prompts:
            return values
        with self._lock, torch.inference_mode():
            shared = _shared_length(prompts)
            prefix = DynamicCache()
            if shared:
                inputs = torch.tensor([list(prompts[0][:shared])], device=self._device)
                self._forward(token_ids, input_ids=inputs, past_key_values=prefix)
            for rows in _batches([len(prompt) for prompt in prompts]):
                values[rows] = self._read_batch([prompts[row][shared:] for row in rows], prefix, shared, token_ids)
        return values

    def _read_batch(
        self, suffixes: list[Sequence[int]], prefix: DynamicCache, shared: int, token_ids: Sequence[int]
    ) -> LogProbs:
        """Reads prompts that go on after a cached prefix: [B, T].

        Padding stands between prefix and suffix, masked out, so that the last column is the last token of every row.
        """
        width = max(map(len, suffixes))
        inputs = torch.zeros(len(suffixes), width, dtype=torch.int64)
        mask = torch.zeros(len(suffixes), shared + width, dtype=torch.int64)
        mask[:, :shared] = 1
        for row, suffix in enumerate(suffixes):
            inputs[row, width - len(suffix) :] = torch.tensor(list(suffix))
            mask[row, shared + width - len(suffix) :] = 1
        positions = (mask.cumsum(1) - 1).clamp(min=0)[:, shared:]
        cache = copy.deepcopy(prefix)
        if shared:
            cache.batch_repeat_interleave(len(suffixes))
        return self._forward(
            token_ids,
            input_ids=inputs.to(self._device),
            attention_mask=mask.to(self._device),
            position_ids=positions.to(self._device),
            past_key_values=cache,
        )

    def _forward(self, token_ids: Sequence[int] | None, **inputs: Any) -> LogProbs:
        if self._model is None:
            raise ModelError("the model was closed", "load it again")
        try:
            logits = self._model(**inputs, use_cache=True, logits_to_keep=1).logits[:, -1]
        except (RuntimeError, IndexError) as error:
            raise ModelError(
                f"the model could not compute ({type(error).__name__})",
                "check that the prompts were made with this model's tokenizer, and that memory is left",
            ) from error
        found = logits.float().log_softmax(-1)
        values: LogProbs = (found if token_ids is None else found[:, list(token_ids)]).cpu().numpy()
        return values


async def load(settings: ModelSettings, *, adapter_path: Path | None = None) -> TransformersModel:
    """The model of the settings, its adapter merged. Raises ModelError."""
    return await asyncio.to_thread(_load, settings, adapter_path)


def _load(settings: ModelSettings, adapter_path: Path | None) -> TransformersModel:
    device = hardware.device()
    logging.disable_progress_bar()
    try:
        chosen = settings if adapter_path is None else settings.model_copy(update={"adapter": str(adapter_path)})
        model = AutoModelForCausalLM.from_pretrained(weights(chosen), dtype=hardware.dtype(settings.dtype, device))
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise ModelError(
            f"transformers could not load {settings.name!r} ({type(error).__name__})",
            "give the folder of a causal language model saved as safetensors, and of an adapter made for it",
        ) from error
    context = min(settings.context, getattr(model.config, "max_position_embeddings", settings.context))
    adapter = None if chosen.adapter is None else label(Path(chosen.adapter))
    return TransformersModel(model.to(device), settings.name, context, adapter)


def _shared_length(prompts: Sequence[Sequence[int]]) -> int:
    """Length of the longest common prefix that leaves every prompt one token; 0 for a single prompt."""
    if len(prompts) == 1:
        return 0
    shared = 0
    shortest = min(map(len, prompts)) - 1
    while shared < shortest and len({prompt[shared] for prompt in prompts}) == 1:
        shared += 1
    return shared


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Rows in batches of similar length, each of BATCH_TOKENS padded tokens at most (or of one row)."""
    batch: list[int] = []
    for row in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batch and lengths[row] * (len(batch) + 1) > BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(row)
    yield batch
