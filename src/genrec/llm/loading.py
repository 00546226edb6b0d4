"""Finds the module of an engine by its name and loads the model."""

from __future__ import annotations

import importlib
from pathlib import Path

from genrec.errors import MissingExtraError
from genrec.llm.base import LanguageModel
from genrec.settings import ModelSettings


async def load(settings: ModelSettings, *, adapter_path: Path | None = None) -> LanguageModel:
    """The model of the settings in its engine: module `genrec.llm.<engine>`, function `load`.

    Raises ModelError if it does not load, MissingExtraError if the engine is not installed.
    """
    try:
        module = importlib.import_module(f"genrec.llm.{settings.engine}")
        model: LanguageModel = await module.load(settings, adapter_path=adapter_path)
    except ImportError as error:
        raise MissingExtraError(
            f"the engine {settings.engine!r} cannot be imported: {error.name or 'a part of it'} is missing or broken",
            "look at `genrec doctor`; the engines are installed by: pip install 'genrec[cpu]' (or [gpu])",
        ) from error
    return model
