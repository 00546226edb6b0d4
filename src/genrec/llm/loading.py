"""The engines by name, and the model of the settings in its engine."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from genrec.artifacts.alternatives import ModuleAlternatives
from genrec.errors import MissingExtraError, SettingsError
from genrec.llm.base import LanguageModel
from genrec.settings import ModelSettings


class Engine(Protocol):
    """One alternative is one module of `genrec.llm.engines` with this function."""

    async def load(self, settings: ModelSettings, *, adapter_path: Path | None = None) -> LanguageModel:
        """The model of the settings, under the adapter in that folder. Raises ModelError."""


ENGINES: ModuleAlternatives[Engine] = ModuleAlternatives("engine", "genrec.llm.engines", Engine, error=SettingsError)


async def load(settings: ModelSettings, *, adapter_path: Path | None = None) -> LanguageModel:
    """The model of the settings in its engine.

    SettingsError for an unknown engine, ModelError if the model does not load, MissingExtraError if the engine is not
    installed.
    """
    try:
        return await ENGINES.find(settings.engine).load(settings, adapter_path=adapter_path)
    except ImportError as error:
        raise MissingExtraError(
            f"the engine {settings.engine!r} cannot be imported: {error.name or 'a part of it'} is missing or broken",
            "look at `genrec doctor`; the engines are installed by: pip install 'genrec[cpu]' (or [gpu])",
        ) from error
