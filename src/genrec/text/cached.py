"""A cache around an encoder: every text is encoded once."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from genrec.text.base import Encoder, Progress, Vectors

_DIGEST = 16


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
