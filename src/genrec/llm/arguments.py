"""With which arguments and environment genrec runs vLLM, as a server and in this process."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from genrec.artifacts.models import resolve
from genrec.errors import ModelError
from genrec.llm import hardware
from genrec.llm.merging import weights
from genrec.settings import ModelSettings

BLOCK = 32
"""Shared prefixes end on a multiple of it on every device, so that what was tuned on one reads the same on another.

The smallest block for which vLLM's CPU attention is fast (its default of 128 shares less). GPUs have blocks of 16.
"""


def set_environment(device: hardware.Device, offline: bool) -> None:
    """Variables that vLLM reads when it is imported; what the user has set stays."""
    defaults = {"VLLM_LOGGING_LEVEL": "ERROR", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
    if device == "cpu":
        defaults["VLLM_CPU_NUM_OF_RESERVED_CPU"] = "0"
        # A small helper of the sampler would otherwise be compiled for 15 s within the first request.
        defaults["TORCH_COMPILE_DISABLE"] = "1"
        if offline:
            defaults["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
    if not offline:
        # Recommendations go on without the model; /health says that it is gone.
        defaults["VLLM_KEEP_ALIVE_ON_ENGINE_DEATH"] = "1"
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
    warnings.filterwarnings("ignore", category=FutureWarning, module="vllm")


def engine_arguments(settings: ModelSettings, device: hardware.Device, *, live: Sequence[Path] = ()) -> dict[str, Any]:
    """Arguments of vLLM's engine by their Python names, the same for the server and offline.

    The adapter of the settings is merged, unless there are `live` ones, which stay apart from the base.
    """
    folder = resolve(settings.name) if live else weights(settings)
    arguments: dict[str, Any] = {
        "model": str(folder),
        "dtype": hardware.dtype(settings.dtype, device),
        "max_model_len": _context(folder, settings.context),
        "enable_prefix_caching": True,
        "logits_processors": ["genrec.llm.constraint:DistinctLabels"],
        "max_num_seqs": 256,
        # A slate of 100 candidates behind a long history in one step.
        "max_num_batched_tokens": 8192,
        "use_tqdm_on_load": False,
    }
    if device == "cpu":
        arguments |= {
            "enforce_eager": True,
            "block_size": BLOCK,
            "kv_cache_memory_bytes": _cache_bytes(folder, arguments["dtype"], tokens=max(16384, 4 * settings.context)),
        }
    if live:
        # One place more than there are names: a new version is loaded beside the one that still answers.
        arguments |= {"enable_lora": True, "max_lora_rank": max(map(_rank, live)), "max_loras": len(live) + 1}
    return arguments


def _config(folder: Path) -> dict[str, Any]:
    try:
        config: dict[str, Any] = json.loads((folder / "config.json").read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{folder / 'config.json'} cannot be read", "give the folder of a saved model") from error
    return config


def _context(folder: Path, wanted: int) -> int:
    """The wanted context, or the model's own if that is shorter."""
    return min(wanted, int(_config(folder).get("max_position_embeddings", wanted)))


def _cache_bytes(folder: Path, dtype: str, tokens: int) -> int:
    """Bytes of keys and values of so many tokens: 2 x layers x heads x width x bytes of a number."""
    config = _config(folder)
    heads = config.get("num_key_value_heads") or config.get("num_attention_heads", 32)
    width = config.get("head_dim") or config.get("hidden_size", 4096) // config.get("num_attention_heads", 32)
    return int(2 * config.get("num_hidden_layers", 32) * heads * width * (4 if dtype == "float32" else 2) * tokens)


def _rank(adapter: Path) -> int:
    """The adapter's rank, rounded up to one that vLLM serves. ModelError for a kind that it does not serve."""
    try:
        config = json.loads((adapter / "adapter_config.json").read_text("utf-8"))
        rank = max([int(config["r"]), *map(int, (config.get("rank_pattern") or {}).values())])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(
            f"{adapter} is no adapter: its adapter_config.json cannot be read", "give the folder of a saved adapter"
        ) from error
    if config.get("use_dora") or config.get("modules_to_save"):
        raise ModelError(
            f"the adapter {adapter} can only be merged: it uses DoRA or saves whole modules",
            "serve it alone on a CPU, or train a plain LoRA adapter",
        )
    return next((known for known in (1, 8, 16, 32, 64, 128, 256, 320, 512) if known >= rank), rank)
