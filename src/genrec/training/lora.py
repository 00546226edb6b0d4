"""The model that is tuned: a frozen base, and a LoRA adapter (Hu et al. 2021) on the maps of its upper layers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM
from transformers.utils import logging

from genrec.artifacts.models import resolve
from genrec.errors import ModelError
from genrec.llm import hardware
from genrec.training.config import LoraSettings
from genrec.training.forward import verify

TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def load_base(name: str) -> Any:
    """The base model, frozen, in float32 on a CPU and in its own type on a GPU. ModelError if it cannot be tuned."""
    device = hardware.device()
    logging.disable_progress_bar()
    try:
        model = AutoModelForCausalLM.from_pretrained(
            resolve(name), dtype=hardware.dtype("auto", device), attn_implementation="sdpa"
        )
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise ModelError(
            f"transformers could not load {name!r} ({type(error).__name__})",
            "give the folder of a causal language model saved as safetensors",
        ) from error
    verify(model)
    return model.requires_grad_(False)


def attach(model: Any, settings: LoraSettings, seed: int) -> PeftModel:
    """A new adapter on the model: B = 0, so that it starts as the base. Lower layers stay without gradients."""
    layers = int(model.config.num_hidden_layers)
    upper = list(range(max(0, layers - settings.layers), layers))
    present = {name.rpartition(".")[2] for name, _ in model.named_modules()}
    targets = [name for name in TARGETS if name in present]
    if not targets:
        raise ModelError("the model has none of the linear maps that adapters are made for", "use a Llama-like model")
    config = LoraConfig(
        task_type="CAUSAL_LM",
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=targets,
        layers_to_transform=upper,
        bias="none",
    )
    # peft draws A from torch's global generator.
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return get_peft_model(model, config)


def save_adapter(model: PeftModel, folder: Path, base_name: str) -> None:
    """Writes adapter_config.json and adapter_model.safetensors, as peft and vLLM read them.

    The config names the base by `base_name`, not by its place on this machine.
    """
    config = model.peft_config["default"]
    config.base_model_name_or_path = base_name
    model.save_pretrained(folder, safe_serialization=True, save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)  # peft's template of a card; the run writes its own
