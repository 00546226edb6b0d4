"""Reads of a language model kept on disk by content: interrupted evaluations resume, repeated ones cost seconds."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import numpy as np

from genrec.errors import WorkspaceError
from genrec.llm.base import LabelChoice, LanguageModel, LogProbs


class CachedModel:
    """A language model that asks `inner` only for what it was never asked before.

    The key covers everything an answer depends on: `fingerprint` of the model (weights, adapter, engine, dtype), the
    token ids of the prompt, and what is asked of it. Every answer is on disk before it is returned. `hits` and
    `misses` count prompts. Only for evaluation: a server has the engine's own prefix cache.
    """

    def __init__(self, inner: LanguageModel, path: Path, fingerprint: str) -> None:
        self.name, self.adapter = inner.name, inner.adapter
        self.context, self.block, self.exact = inner.context, inner.block, inner.exact
        self.hits = self.misses = 0
        self._inner = inner
        self._fingerprint = fingerprint
        self._path = path
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.execute(
                "CREATE TABLE IF NOT EXISTS reads (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID"
            )
        except (OSError, sqlite3.Error) as error:
            raise self._unusable() from error

    async def read(
        self, prompts: Sequence[Sequence[int]], token_ids: Sequence[int], *, cache_salt: str | None = None
    ) -> LogProbs:
        """See LanguageModel. Prompts that are not known yet are read together."""
        keys = [self._key("read", prompt, list(token_ids)) for prompt in prompts]
        known = [self._get(key) for key in keys]
        missing = [index for index, value in enumerate(known) if value is None]
        self._count(len(prompts), len(missing))
        if missing:
            fresh = await self._inner.read([prompts[index] for index in missing], token_ids, cache_salt=cache_salt)
            rows = [np.ascontiguousarray(row, dtype="<f4").tobytes() for row in fresh]
            self._put([(keys[index], row) for index, row in zip(missing, rows, strict=True)])
            for index, row in zip(missing, rows, strict=True):
                known[index] = row
        values = [np.frombuffer(value, dtype="<f4") for value in known if value is not None]
        return np.stack(values) if values else np.zeros((0, len(token_ids)), dtype=np.float32)

    async def generate(
        self,
        prompt: Sequence[int],
        labels: Sequence[int],
        k: int,
        *,
        temperature: float = 0.0,
        seed: int = 0,
        cache_salt: str | None = None,
    ) -> AsyncIterator[LabelChoice]:
        """See LanguageModel. Kept once it is complete."""
        key = self._key("generate", prompt, [list(labels), k, temperature, seed])
        known = self._get(key)
        self._count(1, int(known is None))
        if known is not None:
            for label, logprob in json.loads(known):
                yield LabelChoice(label, logprob)
            return
        choices = []
        async for choice in self._inner.generate(
            prompt, labels, k, temperature=temperature, seed=seed, cache_salt=cache_salt
        ):
            choices.append((choice.label, choice.logprob))
            yield choice
        self._put([(key, json.dumps(choices).encode())])

    async def close(self) -> None:
        """Closes the cache and the engine."""
        with self._lock:
            self._db.close()
        await self._inner.close()

    def _key(self, verb: str, prompt: Sequence[int], asked: object) -> bytes:
        digest = hashlib.sha256(json.dumps([self._fingerprint, verb, asked]).encode())
        digest.update(np.asarray(prompt, dtype="<i8").tobytes())
        return digest.digest()

    def _get(self, key: bytes) -> bytes | None:
        try:
            with self._lock:
                row = self._db.execute("SELECT value FROM reads WHERE key = ?", (key,)).fetchone()
        except sqlite3.Error as error:
            raise self._unusable() from error
        return None if row is None else bytes(row[0])

    def _put(self, rows: Sequence[tuple[bytes, bytes]]) -> None:
        try:
            with self._lock:
                self._db.execute("BEGIN IMMEDIATE")
                self._db.executemany("INSERT OR REPLACE INTO reads VALUES (?, ?)", rows)
                self._db.execute("COMMIT")
        except sqlite3.Error as error:
            raise self._unusable() from error

    def _count(self, asked: int, missing: int) -> None:
        self.hits += asked - missing
        self.misses += missing

    def _unusable(self) -> WorkspaceError:
        return WorkspaceError(f"the cache of reads {self._path} cannot be used", "delete the file; it is made anew")
