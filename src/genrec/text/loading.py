"""The encoder that the settings name."""

from __future__ import annotations

from pathlib import Path

from genrec.settings import EncoderSettings
from genrec.text.base import ENCODERS, Encoder

MODELS = "sentence"
"""The encoder that reads whatever names a model and no encoder."""


def load_encoder(settings: EncoderSettings) -> Encoder:
    """`hashing`, a model (a known name, a sentence-transformers folder, a hub name), or a dotted path to an encoder.

    ModelError if there is no such model or it does not load; MissingExtraError without torch and transformers.
    """
    name = settings.name
    is_path = "." in name and all(part.isidentifier() for part in name.split(".")) and not Path(name).exists()
    return ENCODERS.find(name if is_path or name in ENCODERS.names() else MODELS).load(settings)
