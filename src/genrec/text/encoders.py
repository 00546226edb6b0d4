"""Text to vectors: the interface, a sentence-transformers encoder, a hashing encoder, and a cache around either."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from genrec.domain import Item
from genrec.errors import MissingExtraError, ModelError
from genrec.settings import EncoderSettings

Vectors = npt.NDArray[np.float32]
Progress = Callable[[str, int, int], None]
"""Called as `progress(what, done, total)` while something long runs."""

_DIGEST = 16
_HEAD = 1 << 20
_USABLE = "set encoder.name to minilm-l6, hashing, or a complete sentence-transformers folder"
_MODULES = {"Transformer", "Pooling", "Normalize"}


class Encoder(Protocol):
    """Turns texts into vectors of unit length (a text without any content may be all zeros)."""

    @property
    def name(self) -> str:
        """Names model and weights: equal names give equal vectors."""

    @property
    def dimension(self) -> int:
        """Width d of the vectors."""

    def encode(self, texts: Sequence[str], progress: Progress | None = None) -> Vectors:
        """Vectors [n, d] of n texts, in their order."""


def item_text(item: Item) -> str:
    """The item in words: title, then its metadata by name, for example `Heat. genres: Crime, Drama. year: 1995`."""
    parts = [item.title.strip()]
    for key in sorted(item.metadata):
        value = item.metadata[key]
        words = ", ".join(value) if isinstance(value, tuple) else f"{value:g}" if isinstance(value, float) else value
        if words:
            parts.append(f"{key.replace('_', ' ')}: {words}")
    return ". ".join(part for part in parts if part)


def load_encoder(settings: EncoderSettings) -> Encoder:
    """The encoder that the settings name: `hashing`, a known model, or a sentence-transformers folder.

    ModelError if there is no such model or it does not load; MissingExtraError without torch and transformers.
    """
    if settings.name == HashingEncoder.KIND:
        return HashingEncoder()
    from genrec.artifacts import models

    return SentenceEncoder(models.resolve(settings.name))


class HashingEncoder:
    """Signed feature hashing of words and word pairs (Weinberger et al. 2009). Needs no model; equal words only.

    A word weighs 1 however often it stands in the text. `seed` chooses the hash function.
    """

    KIND = "hashing"

    def __init__(self, dimension: int = 512, seed: int = 0) -> None:
        self._dimension = dimension
        self._seed = seed

    @property
    def name(self) -> str:
        return f"{self.KIND}-{self._dimension}-{self._seed}"

    @property
    def dimension(self) -> int:
        return self._dimension

    def encode(self, texts: Sequence[str], progress: Progress | None = None) -> Vectors:
        vectors = np.zeros((len(texts), self._dimension), dtype=np.float32)
        for row, text in enumerate(texts):
            words = re.findall(r"\w+", text.lower())
            for feature in sorted({*words, *map(" ".join, pairwise(words))}):
                digest = hashlib.blake2b(
                    feature.encode(), digest_size=8, salt=self._seed.to_bytes(8, "little")
                ).digest()
                column = int.from_bytes(digest[:7], "little") % self._dimension
                vectors[row, column] += 1.0 if digest[7] & 1 else -1.0
        return unit_length(vectors)


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


class CachedEncoder:
    """Encodes each text once: vectors are kept by a hash of the text, in memory and, with a folder, on disk.

    `encoder` is the one that it asks, for texts that are not to be kept.
    The file is one safetensors file for each encoder name and is replaced atomically; a broken one counts as empty.
    """

    def __init__(self, encoder: Encoder, folder: Path | None = None) -> None:
        self.encoder = encoder
        safe_name = re.sub(r"[^\w.-]", "_", encoder.name)
        self._file = folder / f"{safe_name}.safetensors" if folder else None
        self._row_of: dict[bytes, int] = {}
        self._vectors: Vectors = np.zeros((0, encoder.dimension), dtype=np.float32)
        self._read()

    @property
    def name(self) -> str:
        return self.encoder.name

    @property
    def dimension(self) -> int:
        return self.encoder.dimension

    def encode(self, texts: Sequence[str], progress: Progress | None = None) -> Vectors:
        keys = [hashlib.blake2b(text.encode(), digest_size=_DIGEST).digest() for text in texts]
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in self._row_of}
        if missing:
            new = self.encoder.encode(list(missing.values()), progress)
            for key in missing:
                self._row_of[key] = len(self._row_of)
            self._vectors = np.concatenate([self._vectors, new])
            self._write()
        rows = np.array([self._row_of[key] for key in keys], dtype=np.int64)
        return self._vectors[rows]

    def _read(self) -> None:
        if self._file is None or not self._file.is_file():
            return
        try:
            stored = load_file(self._file)
            keys, vectors = stored["keys"], stored["vectors"]
        except (OSError, KeyError, SafetensorError):
            return
        if keys.shape == (len(vectors), _DIGEST) and vectors.shape[1:] == (self.dimension,):
            self._row_of = {key.tobytes(): row for row, key in enumerate(keys)}
            self._vectors = vectors

    def _write(self) -> None:
        if self._file is None:
            return
        self._file.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._file.with_name(f".{self._file.name}.{os.getpid()}")
        keys = np.frombuffer(b"".join(self._row_of), dtype=np.uint8).reshape(-1, _DIGEST)
        save_file({"keys": keys, "vectors": self._vectors}, temporary)
        temporary.replace(self._file)


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread for torch: batches this small are slower on more, by far so where others use the cores; and sums stay
    in order.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def unit_length(vectors: Vectors) -> Vectors:
    """Rows [n, d] divided by their length; rows of zeros stay zeros."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: Vectors = np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0)
    return unit


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
