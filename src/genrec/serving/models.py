"""The base model and its adapters on one engine, by the names under which callers ask for them."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

from genrec.artifacts import adapters
from genrec.errors import ModelError, NotFoundError, SettingsError
from genrec.llm.base import LanguageModel

_log = logging.getLogger("genrec")


class AdaptableModel(LanguageModel, Protocol):
    """A language model that adapters can be put on."""

    async def with_adapter(self, folder: Path) -> LanguageModel:
        """The same engine under an adapter. ModelError if it does not load."""


@dataclass(frozen=True, slots=True)
class ServedAdapters:
    """What `genrec serve --adapter` was asked for. The first is the default.

    `references` are names of the workspace, which follow new versions, pinned `name@version`, or folders. `live`: they
    stay apart from the base model; otherwise there is at most one, and it is merged.
    """

    references: tuple[str, ...] = ()
    live: bool = False

    @classmethod
    def choose(cls, references: Sequence[str], *, live: bool, merge: bool) -> ServedAdapters:
        """`live` is what the user wants; `merge` says whether a single adapter is better merged.

        SettingsError for two of the same name, and for live adapters of which there is none.
        """
        wanted = tuple(reference for reference in references if reference not in ("", adapters.BASE))
        if live and not wanted:
            raise SettingsError("--live-adapters without an adapter", "name one: --adapter NAME")
        served = cls(wanted, bool(wanted) and (live or len(wanted) > 1 or not merge))
        if len(set(served.names)) < len(wanted) or adapters.BASE in served.names:
            raise SettingsError("two adapters would be served under one name", "name each once, or rename a folder")
        return served

    @property
    def names(self) -> tuple[str, ...]:
        """How callers call them: as they were given, folders by their own name."""
        return tuple(Path(reference).absolute().name for reference in self.references)

    def folders(self, root: Path) -> list[Path]:
        """Where they are at the moment. NotFoundError if one is not there."""
        return [adapters.resolve(root, reference).absolute() for reference in self.references]

    def to_json(self) -> str:
        """For the environment of the server's processes."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> ServedAdapters:
        """From the environment."""
        data = json.loads(text)
        return cls(tuple(data["references"]), data["live"])


class ServedModels:
    """Gives the language model for an adapter's name, under its newest version.

    A new version goes live at the next request for it; requests that run end with the one they began with.
    """

    def __init__(self, root: Path, served: ServedAdapters, model: AdaptableModel) -> None:
        """`model` is the base, or the base with the one adapter merged into it."""
        self._root, self._served, self._model = root, served, model
        self._references = dict(zip(served.names, served.references, strict=True))
        self._loaded: dict[str, LanguageModel] = {}
        if served.references and not served.live:
            self._loaded[served.names[0]] = model
        self._folders: dict[str, Path] = {}
        self._refused: set[Path] = set()
        self._lock = asyncio.Lock()

    @property
    def names(self) -> list[str]:
        """What a caller may name, the default first."""
        merged = bool(self._served.references) and not self._served.live
        return [*self._references] if merged else [*self._references, adapters.BASE]

    async def get(self, name: str | None = None) -> LanguageModel:
        """The model with the adapter of that name (None: the default one; "" or `base`: none).

        NotFoundError names what there is. ModelError if an adapter does not load when it is first asked for.
        """
        wanted = self.names[0] if name is None else name or adapters.BASE
        if wanted not in self.names:
            hint = f"there are: {', '.join(self.names)}"
            if wanted == adapters.BASE:
                hint += "; with --live-adapters the base model stays too"
            raise NotFoundError(f"there is no adapter {wanted!r}", hint)
        if wanted == adapters.BASE:
            return self._model
        async with self._lock:
            self._loaded[wanted] = await self._newest(self._references[wanted], self._loaded.get(wanted))
            return self._loaded[wanted]

    def card_of(self, model: LanguageModel) -> adapters.Card | None:
        """The card of the adapter that a model has on; None without one."""
        folder = self._folders.get(model.adapter or "")
        return None if folder is None else adapters.Card.load(folder)

    async def _newest(self, reference: str, used: LanguageModel | None) -> LanguageModel:
        """The model under what `reference` leads to now, or the one in use if that cannot be had."""
        try:
            folder = adapters.resolve(self._root, reference).absolute()
            self._folders[adapters.label(folder)] = folder
            if used is not None and (used.adapter == adapters.label(folder) or folder in self._refused):
                return used
            if not self._served.live:
                raise ModelError(f"{adapters.label(folder)} needs a restart", "with --live-adapters it would not")
            model = await self._model.with_adapter(folder)
        except NotFoundError:
            if used is None:
                raise
            return used  # its files went away, but the engine has it
        except ModelError as error:
            if used is None:
                raise
            self._refused.add(folder)
            _log.warning("the adapter %s stays in use: %s", used.adapter, error)
            return used
        if used is not None:
            _log.warning("the adapter %s is live in place of %s", model.adapter, used.adapter)
        return model
