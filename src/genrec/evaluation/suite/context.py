"""What all systems of a run share: the log, what is held out of it, the test users, and the cache."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from genrec.artifacts.memo import code_hash
from genrec.data.cold_splits import HeldOut
from genrec.data.interactions import IntArray, Interactions
from genrec.data.splits import Split
from genrec.data.store import Store
from genrec.domain import Item
from genrec.settings import Settings
from genrec.text.encoders import Encoder, Progress

KEEP = 200
"""Ranked lists that are kept in the cache, the last used ones."""

Ranked = tuple[IntArray, dict[str, Any]]
"""Item positions [m, k], best first, padded with -1, and the record of how what ranked them was made."""


@dataclass(frozen=True, eq=False)
class EvaluationContext:
    """`split` has the test users that are asked for; `held` is the whole of what is held out.

    `root` is the folder of the workspace, `data` the fingerprint of its log, `k` the length of ranked lists: at least
    that of a slate, `warnings` what a reader of figures must know of the users.
    """

    root: Path
    store: Store
    data: str
    interactions: Interactions
    items: list[Item]
    held: HeldOut
    split: Split
    settings: Settings
    k: int
    encoder: Encoder | None = None
    progress: Progress | None = None
    warnings: tuple[str, ...] = ()

    @cached_property
    def quick_store(self) -> Store:
        """The store, with all items at hand: a replay looks up the same ones again and again."""
        return cast(Store, _QuickStore(self.store, self.items))

    @cached_property
    def index(self) -> dict[str, int]:
        """Position of each item id."""
        return {str(item_id): place for place, item_id in enumerate(self.interactions.item_ids)}

    @property
    def cache(self) -> Path:
        """Folder of everything that can be made anew."""
        return self.root / "cache"

    def key(self, *facts: Any) -> str:
        """A name for something made of this log and these test users; changes with the code that fits and the facts."""
        split = self.split
        digest = hashlib.sha256(json.dumps([self.data, self.k, code_hash(), *facts], sort_keys=True).encode())
        digest.update(f"{split.name} {self.held.validation} {len(split.train)} {len(self.held.fit_on)}".encode())
        digest.update(split.users.astype("<i8").tobytes() + split.now.astype("<f8").tobytes())
        return digest.hexdigest()[:24]

    def kept(self, key: str, make: Callable[[], Ranked]) -> Ranked:
        """The lists of that key from the cache, or what `make` makes, which is then kept."""
        folder = self.cache / "lists"
        file = folder / f"{key}.safetensors"
        try:
            with safe_open(file, framework="numpy") as stored:
                found: Ranked = stored.get_tensor("ranked"), json.loads(stored.metadata()["record"])
            file.touch()
        except (OSError, KeyError, ValueError, TypeError, SafetensorError):
            found = make()
            folder.mkdir(parents=True, exist_ok=True)
            temporary = file.with_suffix(".new")
            save_file({"ranked": np.ascontiguousarray(found[0])}, temporary, {"record": json.dumps(found[1])})
            temporary.replace(file)
            for old in sorted(folder.glob("*.safetensors"), key=lambda path: path.stat().st_mtime)[:-KEEP]:
                old.unlink(missing_ok=True)
        return found


class _QuickStore:
    def __init__(self, store: Store, items: Sequence[Item]) -> None:
        self._store, self._items = store, {item.id: item for item in items}

    def items(self, item_ids: Sequence[str]) -> list[Item]:
        if all(item_id in self._items for item_id in item_ids):
            return [self._items[item_id] for item_id in item_ids]
        return self._store.items(item_ids)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)
