"""Sentence encoder: a transformer whose token vectors are pooled, as sentence-transformers saves them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from safetensors import SafetensorError

from genrec.artifacts.models import resolve
from genrec.errors import MissingExtraError, ModelError
from genrec.settings import EncoderSettings
from genrec.text.base import Progress, Vectors, one_thread, unit_length

_HEAD = 1 << 20
_USABLE = "set encoder.name to minilm-l6, hashing, or a complete sentence-transformers folder"
_MODULES = {"Transformer", "Pooling", "Normalize"}


class SentenceEncoder:
    """A sentence-transformers folder: transformer, pooling as `1_Pooling/config.json` says, unit length.

    The model is loaded when the first text is encoded (on a GPU if there is one): with a full cache, never.
    """

    def __init__(self, folder: Path, batch_tokens: int = 8192) -> None:
        """Reads the configuration. `batch_tokens` bounds a batch, padding included. ModelError without a model."""
        config = _read_json(folder / "config.json")
        if not isinstance(config.get("hidden_size"), int) or not list(folder.glob("*.safetensors")):
            raise ModelError(f"{folder} holds no sentence encoder with safetensors weights", _USABLE)
        self._folder = folder
        self._dimension = int(config["hidden_size"])
        self._pooling = _pooling_mode(folder)
        self._longest = int(_read_json(folder / "sentence_bert_config.json").get("max_seq_length") or 256)
        self._batch_tokens = batch_tokens
        self._name = f"{folder.name}-{_weights_digest(folder)}"

    @classmethod
    def load(cls, settings: EncoderSettings) -> Self:
        """From a known name, a folder, or a hub name. ModelError if there is no such model."""
        return cls(resolve(settings.name))

    @property
    def name(self) -> str:
        return self._name

    @property
    def dimension(self) -> int:
        return self._dimension

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        """Tokenizer and model."""
        try:
            import torch
            from transformers import AutoModel, AutoTokenizer
            from transformers.utils import logging
        except ImportError as error:
            raise MissingExtraError(
                "encoding text needs torch and transformers",
                "install them: pip install 'genrec[cpu]' (or set encoder.name to hashing)",
            ) from error
        logging.disable_progress_bar()
        try:
            tokenizer = AutoTokenizer.from_pretrained(self._folder, local_files_only=True)
            model = AutoModel.from_pretrained(
                self._folder, local_files_only=True, dtype=torch.float32, use_safetensors=True
            )
        except (OSError, ValueError, SafetensorError) as error:
            raise ModelError(f"{self._folder} does not load: {type(error).__name__}", _USABLE) from error
        return tokenizer, model.eval().to("cuda" if torch.cuda.is_available() else "cpu")

    def encode(self, texts: Sequence[str], progress: Progress | None = None) -> Vectors:
        """Vectors [n, d]; texts longer than the model reads are cut at their end."""
        vectors = np.zeros((len(texts), self.dimension), dtype=np.float32)
        if not len(texts):
            return vectors
        tokenizer, _ = self._loaded
        tokens: list[list[int]] = tokenizer(list(texts), truncation=True, max_length=self._longest)["input_ids"]
        done = 0
        with one_thread() if len(texts) == 1 else nullcontext():
            for rows in self._batches([len(row) for row in tokens]):
                vectors[rows] = self._pooled([tokens[row] for row in rows])
                done += len(rows)
                if progress:
                    progress("encoding", done, len(texts))
        return unit_length(vectors)

    def _batches(self, lengths: Sequence[int]) -> Iterator[list[int]]:
        """Rows of similar length together, longest first; the order depends on the lengths alone."""
        batch: list[int] = []
        for row in sorted(range(len(lengths)), key=lambda row: -lengths[row]):
            if batch and (len(batch) + 1) * lengths[batch[0]] > self._batch_tokens:
                yield batch
                batch = []
            batch.append(row)
        yield batch

    def _pooled(self, tokens: Sequence[Sequence[int]]) -> Vectors:
        import torch

        tokenizer, model = self._loaded
        padded = tokenizer.pad({"input_ids": list(tokens)}, return_tensors="pt").to(model.device)
        with torch.inference_mode():
            states = model(**padded).last_hidden_state
            mask = padded["attention_mask"].unsqueeze(-1).to(states.dtype)
            if self._pooling == "cls":
                pooled = states[:, 0]
            elif self._pooling == "max":
                pooled = states.masked_fill(mask == 0, float("-inf")).amax(dim=1)
            else:
                pooled = (states * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)
        result: Vectors = pooled.float().cpu().numpy()
        return result


def _pooling_mode(folder: Path) -> str:
    modules = _read_json(folder / "modules.json", list)
    unknown = {str(module.get("type", "")).rsplit(".", 1)[-1] for module in modules} - _MODULES
    if unknown:
        raise ModelError(
            f"{folder} has modules that are not known here: {', '.join(sorted(unknown))}",
            "use an encoder made of transformer, pooling and normalisation only, such as minilm-l6",
        )
    config = _read_json(folder / "1_Pooling" / "config.json")
    modes = {"pooling_mode_cls_token": "cls", "pooling_mode_max_tokens": "max", "pooling_mode_mean_tokens": "mean"}
    known = [mode for key, mode in modes.items() if config.get(key)]
    asked = [key for key, value in config.items() if key.startswith("pooling_mode_") and value is True]
    if len(asked) > 1 or len(known) != len(asked):
        raise ModelError(
            f"{folder} pools its tokens in a way that is not known here: {', '.join(asked)}",
            "use an encoder with mean, max or first-token pooling",
        )
    return known[0] if known else "mean"


def _weights_digest(folder: Path) -> str:
    """Eight hex digits over size, beginning and end of the weights, and the configuration."""
    digest = hashlib.blake2b(digest_size=4)
    for file in sorted([*folder.glob("*.safetensors"), folder / "config.json"]):
        if file.is_file():
            size = file.stat().st_size
            digest.update(f"{file.name} {size} ".encode())
            with file.open("rb") as stream:
                digest.update(stream.read(_HEAD))
                stream.seek(max(0, size - _HEAD))
                digest.update(stream.read(_HEAD))
    return digest.hexdigest()


def _read_json(file: Path, kind: Callable[[], Any] = dict) -> Any:
    if not file.is_file():
        return kind()
    try:
        content = json.loads(file.read_text("utf-8"))
    except ValueError as error:
        raise ModelError(f"{file} is not valid JSON", "fetch the encoder again") from error
    return content if isinstance(content, type(kind())) else kind()
