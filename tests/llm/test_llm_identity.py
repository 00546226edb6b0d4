"""Which model it is follows from every byte of it."""

from __future__ import annotations

from pathlib import Path

from genrec.llm.identity import identity
from genrec.settings import ModelSettings


def test_a_byte_in_the_middle_of_the_weights_makes_another_model(tmp_path: Path) -> None:
    weights = bytearray(3 << 20)
    (tmp_path / "config.json").write_text("{}", "utf-8")
    (tmp_path / "model.safetensors").write_bytes(weights)
    settings = ModelSettings(name=str(tmp_path), engine="transformers")
    first = identity(settings)
    assert identity(settings) == first
    weights[len(weights) // 2] = 1
    (tmp_path / "model.safetensors").write_bytes(weights)
    assert identity(settings) != first
