"""Adapters as peft and vLLM read them, on the upper layers only."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from tiny_tuning import slate_of, tiny_model
from torch import nn

from genrec.errors import ModelError
from genrec.training.config import LoraSettings
from genrec.training.forward import collate, scores
from genrec.training.lora import attach, load_base, save_adapter

SEVEN = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}


def test_a_saved_adapter_is_what_peft_reads(tmp_path: Path) -> None:
    model = attach(tiny_model(), LoraSettings(rank=2, layers=2), seed=0)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.fill_(0.1)
    save_adapter(model, tmp_path, "tiny")
    assert {file.name for file in tmp_path.iterdir()} == {"adapter_config.json", "adapter_model.safetensors"}
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "tiny"
    assert config["layers_to_transform"] == [1, 2]
    assert set(config["target_modules"]) == SEVEN
    assert not config["modules_to_save"]
    batch = collate([slate_of((0, 0, 1))])
    again = PeftModel.from_pretrained(tiny_model(), str(tmp_path))
    with torch.no_grad():
        assert torch.equal(scores(again, batch), scores(model, batch))
        assert not torch.allclose(scores(tiny_model(), batch), scores(model, batch), atol=1e-3)


def test_a_new_adapter_says_what_the_base_says_and_follows_from_its_seed() -> None:
    batch = collate([slate_of((0, 0, 1))])
    models = [attach(tiny_model(), LoraSettings(rank=2), seed) for seed in (0, 0, 1)]
    with torch.no_grad():
        assert torch.allclose(scores(models[0], batch), scores(tiny_model(), batch), atol=1e-6)
    first, same, other = (
        torch.cat([weight.flatten() for name, weight in model.named_parameters() if "lora_A" in name])
        for model in models
    )
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_only_the_adapter_learns() -> None:
    model = attach(tiny_model(), LoraSettings(rank=2, layers=1), seed=0)
    learned = {name for name, weight in model.named_parameters() if weight.requires_grad}
    assert len(learned) == 2 * len(SEVEN)
    assert all("lora_" in name and ".layers.2." in name for name in learned)


def test_a_folder_that_holds_no_model_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelError, match="could not load"):
        load_base(str(tmp_path))


def test_a_model_without_the_known_maps_is_refused() -> None:
    model = nn.Sequential(nn.Linear(2, 2))
    model.config = type("Config", (), {"num_hidden_layers": 1})()
    with pytest.raises(ModelError, match="none of the linear maps"):
        attach(model, LoraSettings(), 0)
