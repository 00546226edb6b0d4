"""Encoders of texts, one file each; from here the names that others use."""

from genrec.text.base import Encoder, Progress, Vectors, item_text, one_thread, unit_length
from genrec.text.cached import CachedEncoder
from genrec.text.encoders.hashing import HashingEncoder
from genrec.text.encoders.sentence import SentenceEncoder
from genrec.text.loading import load_encoder

__all__ = [
    "CachedEncoder",
    "Encoder",
    "HashingEncoder",
    "Progress",
    "SentenceEncoder",
    "Vectors",
    "item_text",
    "load_encoder",
    "one_thread",
    "unit_length",
]
