"""A tiny language model, slates that it can learn, and a workspace on which recipes run in seconds."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from training_factories import LearningWorld

from genrec.artifacts.workspace import Workspace
from genrec.data.sqlite.store import SqliteStore
from genrec.domain import Event
from genrec.training.base import TokenSlate
from genrec.training.batches import Batches
from genrec.training.config import TrainConfig
from genrec.training.lora import attach
from genrec.training.processes import Processes
from genrec.training.trainer import Outcome, Trainer

YES, NO, GOOD = 3, 4, 7


def tiny_model(vocabulary: int = 64, layers: int = 3, seed: int = 0) -> Any:
    """A frozen Llama whose weights come from numpy, so that they are the same under any version of torch."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=vocabulary, hidden_size=32, intermediate_size=64, num_hidden_layers=layers, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=2048,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    generator = np.random.default_rng(seed)
    with torch.no_grad():
        for name, weight in sorted(model.named_parameters()):
            if "norm" not in name:
                weight.copy_(torch.from_numpy(generator.normal(0, 0.1, tuple(weight.shape))))
    return model.requires_grad_(False).eval()


def tiny_model_folder(folder: Path, tokenizer: Path) -> Path:
    """The model as a folder, with the tokenizer of the tests."""
    tiny_model(600).save_pretrained(folder)
    for file in tokenizer.iterdir():
        shutil.copy(file, folder)
    return folder


class Numbers:
    """Stands for an example source: an example is its arguments."""

    def __init__(self, length: int = 37) -> None:
        self.length = length

    def __len__(self) -> int:
        return self.length

    def example(self, epoch: int, index: int, difficulty: float) -> Any:
        return epoch, index, difficulty


def slate_of(example: Any, number: int = 0) -> TokenSlate:
    """Six candidates; the one that was chosen has the token GOOD in its suffix."""
    epoch, index, _ = example
    generator = np.random.default_rng([epoch, index])
    chosen = int(generator.integers(6))
    suffixes = []
    for place in range(6):
        body = generator.integers(10, 60, generator.integers(1, 4)).tolist()
        suffixes.append((*body, GOOD if place == chosen else 9, 8))
    prefix = tuple(generator.integers(10, 60, generator.integers(5, 15)).tolist())
    return TokenSlate(prefix, tuple(suffixes), (YES, NO), np.eye(6)[chosen], 0.5 + float(generator.random()))


def tiny_config(**loop: Any) -> TrainConfig:
    """Eight short steps, with dropout, so that random numbers matter."""
    chosen = {"steps": 8, "batch": 4, "pool": 2, "evaluate_every": 4, "save_every": 1, "tokens": 100, **loop}
    return TrainConfig(lora={"layers": 2, "rank": 4, "dropout": 0.1}, optim={"lr": 1e-2, "warmup": 2}, loop=chosen)  # type: ignore[arg-type]


def tiny_workspace(root: Path, world: LearningWorld) -> Workspace:
    """The small log of this folder in a workspace."""
    workspace = Workspace.create(root)
    log = world.log
    with SqliteStore(workspace.database, create=True) as store:
        store.put_items(world.items)
        store.append(
            [
                Event(str(log.user_ids[user]), world.items[item].id, float(time), "rating", float(value))
                for user, item, time, value in zip(log.user, log.item, log.timestamp, log.value, strict=True)
            ]
        )
    return workspace


def train(folder: Path, config: TrainConfig, *, over: bool = False) -> Outcome:
    """Trains the tiny model on the slates above in a folder, going on where an earlier call stood."""
    folder.mkdir(parents=True, exist_ok=True)
    processes = Processes(("tensorboard",), folder)
    model = attach(tiny_model(), config.lora, config.loop.seed)
    batches = Batches(Numbers(), slate_of, config.loop, processes.index, processes.count)
    validation = [slate_of((9, index, 1)) for index in range(12)]
    return Trainer(model, config, folder, processes).run(batches, validation, over=over)


if __name__ == "__main__":  # a process of its own: to be killed, or one of several
    train(Path(sys.argv[1]), TrainConfig.model_validate_json(sys.argv[2]))
