"""Where a training stands, on disk: safetensors and JSON only, whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from genrec.errors import WorkspaceError

_PREFIX = "step-"


@dataclass
class Progressed:
    """What a training knows beside weights. Data and random numbers follow from `step` and the seed alone."""

    identity: str
    """Fingerprint of everything that decides the losses: resuming under another one is an error."""
    step: int = 0
    planned: int = 0
    """Steps at whose end the schedule ends."""
    seconds: float = 0.0
    """Time spent so far, over all resumptions."""
    slates: int = 0
    tokens: int = 0
    validation_seconds: float = 0.0
    """What the last validation took."""
    best: int = 0
    """Position in `validations` of the best one."""
    best_ndcg: list[float] = field(default_factory=list)
    untuned_ndcg: list[float] = field(default_factory=list)
    """NDCG@10 of each validation slate at the best step and before the first."""
    validations: list[dict[str, float]] = field(default_factory=list)

    @property
    def best_step(self) -> int:
        """The step of the best validation: 0 where none was better than before the first step."""
        return int(self.validations[self.best]["step"])


@dataclass
class Checkpoint:
    """A training at a step: weights by name, moments by weight, the best weights so far, and the numbers."""

    progressed: Progressed
    weights: dict[str, Tensor]
    moments: dict[str, Tensor]
    best: dict[str, Tensor]


def save(folder: Path, checkpoint: Checkpoint) -> None:
    """Writes `step-<n>` beside the older checkpoint, which is removed when the new one is whole."""
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{_PREFIX}{checkpoint.progressed.step:08d}"
    while target.exists():  # of the same step: the new one stands behind it in the order of names
        target = target.with_name(f"{target.name}+")
    staging = folder / f".{target.name}"
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir()
    for name in ("weights", "moments", "best"):
        save_file(getattr(checkpoint, name), staging / f"{name}.safetensors")
    (staging / "progress.json").write_text(json.dumps(asdict(checkpoint.progressed), indent=1), "utf-8")
    for file in staging.iterdir():
        with file.open("rb") as written:
            os.fsync(written.fileno())
    staging.rename(target)
    for older in folder.glob(f"{_PREFIX}*"):
        if older != target:
            shutil.rmtree(older)


def latest(folder: Path) -> Checkpoint | None:
    """The newest checkpoint in a folder; None where there is none. WorkspaceError if it cannot be read."""
    found = sorted(folder.glob(f"{_PREFIX}*"))
    if not found:
        return None
    try:
        progressed = Progressed(**json.loads((found[-1] / "progress.json").read_text("utf-8")))
        tensors = {name: load_file(found[-1] / f"{name}.safetensors") for name in ("weights", "moments", "best")}
    except (OSError, ValueError, TypeError, SafetensorError) as error:
        raise WorkspaceError(f"{found[-1]} is no whole checkpoint", "remove the folder and start over") from error
    return Checkpoint(progressed, **tensors)


def begun(folder: Path) -> bool:
    """Whether there is a checkpoint in a folder."""
    return any(folder.glob(f"{_PREFIX}*"))


def clear(folder: Path) -> None:
    """Removes the checkpoints in a folder and below."""
    for found in folder.rglob(f"*{_PREFIX}*"):
        shutil.rmtree(found, ignore_errors=True)


def moments(optimizer: torch.optim.Optimizer, names: dict[int, str]) -> dict[str, Tensor]:
    """AdamW's moments and step counts as tensors `<weight>|<entry>`; `names` has the weight of each parameter's id."""
    return {
        f"{names[id(parameter)]}|{entry}": value.detach().to("cpu", copy=True).contiguous()
        for parameter, state in optimizer.state.items()
        for entry, value in state.items()
    }


def restore_moments(optimizer: torch.optim.Optimizer, names: dict[int, str], saved: dict[str, Tensor]) -> None:
    """Puts back what `moments` took."""
    by_weight: dict[str, dict[str, Tensor]] = {}
    for key, value in saved.items():
        weight, _, entry = key.rpartition("|")
        by_weight.setdefault(weight, {})[entry] = value
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            state = by_weight.get(names[id(parameter)], {})
            optimizer.state[parameter] = {
                entry: value if entry == "step" else value.to(parameter.device) for entry, value in state.items()
            }
