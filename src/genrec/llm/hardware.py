"""What the machine computes with."""

from __future__ import annotations

import importlib.util
from typing import Literal

Device = Literal["cpu", "cuda"]


def device() -> Device:
    """`cuda` where torch finds a GPU. Imports torch if it is installed."""
    if importlib.util.find_spec("torch") is None:
        return "cpu"
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def dtype(setting: str, on: Device) -> str:
    """The data type that a setting means: `auto` is float32 on a CPU (without AMX or AVX-512 BF16 it is several times
    faster than bfloat16 there) and the model's own on a GPU.
    """
    return "float32" if setting == "auto" and on == "cpu" else setting
