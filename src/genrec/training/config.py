"""Settings of a training: a YAML file, `section.key=value` on top, every problem reported at once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from genrec.artifacts.yaml_files import load_yaml
from genrec.errors import SettingsError

HeldOut = Literal["temporal", "leave-one-out", "none"]


Beta = Annotated[float, Field(ge=0, lt=1)]


class Section(BaseModel):
    """A part of a config: unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class LoraSettings(Section):
    """The adapter."""

    rank: Literal[1, 2, 4, 8, 16, 32, 64, 128] = 16
    """vLLM serves ranks up to its limit; 16 costs little and was enough so far."""
    alpha: float = Field(default=32, gt=0)
    """The update is scaled by alpha / rank."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    layers: int = Field(default=20, ge=1)
    """How many of the upper layers are tuned; the lower ones compute no gradients."""


class OptimSettings(Section):
    """AdamW (Loshchilov and Hutter 2019) and its schedule."""

    lr: float = Field(default=5e-4, gt=0)
    """Peak learning rate."""
    schedule: Literal["linear", "cosine", "constant"] = "cosine"
    """What follows the warm-up, down to a tenth of the peak."""
    warmup: int = Field(default=20, ge=0)
    """Steps of linear warm-up."""
    weight_decay: float = Field(default=0.0, ge=0)
    betas: tuple[Beta, Beta] = (0.9, 0.99)
    clip: float = Field(default=1.0, gt=0)
    """Largest norm of the gradient."""


class LossSettings(Section):
    """What a slate costs."""

    calibration: float = Field(default=0.05, ge=0)
    """Weight of the binary cross-entropy that keeps P(yes) a probability; yes-no templates only."""


class LoopSettings(Section):
    """How long and how much at a time."""

    steps: int = Field(default=400, ge=1)
    """Optimizer steps at most; the schedule ends here."""
    batch: int = Field(default=8, ge=1)
    """Slates of one step, over all processes."""
    tokens: int = Field(default=1024, ge=1)
    """Padded tokens of one forward pass at most (or one slate); smaller passes are faster on a CPU."""
    autocast: bool = False
    """Linear maps in bfloat16. Faster on GPUs and on CPUs with AVX-512 BF16 or AMX, slower on other CPUs."""
    pool: int = Field(default=8, ge=1)
    """So many batches are drawn at once and sorted by length."""
    max_minutes: float | None = Field(default=None, gt=0)
    """Stops after this time, with the schedule bent to end there; the best adapter is kept."""
    curriculum: int = Field(default=100, ge=0)
    """Steps over which negatives grow from easy to as hard as those served."""
    evaluate_every: int = Field(default=50, ge=1)
    """Steps between two validations."""
    patience: int = Field(default=4, ge=1)
    """Validations without a better NDCG@10 after which training stops."""
    save_every: int = Field(default=25, ge=1)
    """Steps between two checkpoints."""
    validation_slates: int = Field(default=200, ge=1)
    """Slates of the validation users, fixed."""
    seed: int = Field(default=0, ge=0)
    trackers: tuple[str, ...] = ()
    """Trackers of accelerate beside TensorBoard, by name: wandb, mlflow, ..."""

    def shared(self, share: float) -> tuple[LoopSettings, LoopSettings]:
        """The loop in two: `share` of steps and time, and the rest."""
        steps = max(1, round(share * self.steps))
        parts = (steps, share), (max(1, self.steps - steps), 1 - share)
        first, second = (
            self.model_copy(update={"steps": count, "max_minutes": self.max_minutes and self.max_minutes * part})
            for count, part in parts
        )
        return first, second


class TrainConfig(Section):
    """What the trainer needs; recipes add sections of their own."""

    model: str = ""
    """A known name, a local folder, or a hub name; the workspace's if not given."""
    block: int | None = Field(default=None, ge=1)
    """Prefixes are padded to a multiple of it, as the engine that serves pads them. If not given 32 for vLLM, on GPUs
    too; only engines whose own blocks are larger need another.
    """
    lora: LoraSettings = LoraSettings()
    optim: OptimSettings = OptimSettings()
    loss: LossSettings = LossSettings()
    loop: LoopSettings = LoopSettings()


Config = TypeVar("Config", bound=BaseModel)


def load_config(kind: type[Config], file: Path, overrides: Sequence[str] = ()) -> Config:
    """The config in `file`, with `section.key=value` on top. SettingsError lists every problem with its place."""
    try:
        values = load_yaml(file.read_text("utf-8"), file)[0] or {}
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file} cannot be read", "name an existing YAML file, in UTF-8") from error
    if not isinstance(values, dict):
        raise SettingsError(f"{file}: sections with keys are expected", "see the configs in finetune/configs")
    wrong = [problem for override in overrides if (problem := _override(values, override)) is not None]
    try:
        config = kind.model_validate(values)
    except ValidationError as error:
        wrong += [f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in error.errors()]
    if wrong:
        raise SettingsError(
            f"{file} does not validate:\n" + "\n".join(f"  {problem}" for problem in wrong),
            "fix the file or what was given as section.key=value",
        )
    return config


def _override(values: dict[str, Any], override: str) -> str | None:
    """Puts `section.key=value` (the value in YAML) into `values`; what is wrong with it, or None."""
    path, equals, text = override.partition("=")
    *sections, key = path.split(".")
    if not equals or not key or not all(sections):
        return f"{override!r} is not section.key=value"
    for section in sections:
        inner = values.setdefault(section, {})
        if not isinstance(inner, dict):
            return f"{path}: {section} is no section"
        values = inner
    try:
        values[key] = load_yaml(text, path)[0]
    except SettingsError:
        return f"{path}: the value is not valid YAML"
    return None
