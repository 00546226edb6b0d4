"""What all systems of a run share: the log, what is held out of it, the test users, and the cache."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from genrec.data.cold_splits import HeldOut
from genrec.data.interactions import IntArray, Interactions
from genrec.data.splits import Split
from genrec.data.store import Store
from genrec.domain import Item
from genrec.encoder import Encoder, Progress
from genrec.evaluation import fits
from genrec.settings import Settings

KEEP = 200
"""Ranked lists that are kept in the cache, the last used ones."""


@dataclass(frozen=True, eq=False)
class Bench:
    """`split` has the test users that are asked for; `held` is the whole of what is held out.

    `root` is the folder of the workspace, `data` the fingerprint of its log, `k` the length of ranked lists: at least
    that of a slate.
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
        digest = hashlib.sha256(json.dumps([self.data, self.k, fits.code(), *facts], sort_keys=True).encode())
        digest.update(f"{split.name} {self.held.validation} {len(split.train)} {len(self.held.fit_on)}".encode())
        digest.update(split.users.astype("<i8").tobytes() + split.now.astype("<f8").tobytes())
        return digest.hexdigest()[:24]

    def kept(self, key: str, make: Callable[[], IntArray]) -> IntArray:
        """The ranked lists of that key from the cache, or what `make` makes, which is then kept."""
        folder = self.cache / "lists"
        file = folder / f"{key}.safetensors"
        try:
            found: IntArray = load_file(file)["ranked"]
            file.touch()
        except (OSError, KeyError, SafetensorError):
            found = make()
            folder.mkdir(parents=True, exist_ok=True)
            temporary = file.with_suffix(".new")
            save_file({"ranked": np.ascontiguousarray(found)}, temporary)
            temporary.replace(file)
            for old in sorted(folder.glob("*.safetensors"), key=lambda path: path.stat().st_mtime)[:-KEEP]:
                old.unlink(missing_ok=True)
        return found
