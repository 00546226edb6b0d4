"""Adapters merged into their base model, once: on a CPU a live adapter costs more than twice the time."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from genrec.artifacts import downloads
from genrec.artifacts.adapters import WEIGHTS
from genrec.artifacts.models import resolve
from genrec.errors import MissingExtraError, ModelError
from genrec.settings import ModelSettings


def weights(settings: ModelSettings) -> Path:
    """Folder of the model to load: the base of the settings, or the base with the adapter merged into it.

    The merged model is kept in the cache by place and date of the base and contents of the adapter. ModelError if the
    two do not fit.
    """
    base = resolve(settings.name)
    if settings.adapter is None:
        return base
    adapter = Path(settings.adapter).expanduser()
    files = [adapter / name for name in WEIGHTS]
    if not all(file.is_file() for file in files):
        raise ModelError(
            f"{adapter} is no adapter: {files[0].name} and {files[1].name} are needed",
            "give the folder of a saved adapter",
        )
    digest = hashlib.sha256(str(base.resolve()).encode())
    for file in sorted(base.glob("*.safetensors")):
        digest.update(f"{file.name} {file.stat().st_size} {file.stat().st_mtime_ns}".encode())
    for file in files:
        digest.update(file.read_bytes())
    source = digest.hexdigest()
    folder = downloads.root() / "merged" / source[:24]
    with downloads.locked(f"merged-{source[:24]}"):
        if not downloads.finished(folder, source):
            with downloads.staged(folder, source) as staging:
                _merge(base, adapter, staging)
    return folder


def _merge(base: Path, adapter: Path, target: Path) -> None:
    try:
        from peft import PeftModel
        from transformers import AutoModelForCausalLM
    except ImportError as error:
        raise MissingExtraError(
            "adapters need peft and transformers", "install them with: pip install 'genrec[cpu]' (or [gpu])"
        ) from error
    try:
        model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base, dtype="auto"), str(adapter))
        model.merge_and_unload().save_pretrained(target)
        for file in [*base.glob("tokenizer*"), *base.glob("chat_template*"), *base.glob("special_tokens*")]:
            shutil.copy(file, target)
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise ModelError(
            f"the adapter {adapter} could not be merged into its base ({type(error).__name__})",
            "give an adapter that was made for this base model",
        ) from error
