"""Preferences between two candidates of a shown list, learned by direct preference optimisation with the loss of trl.

DPO (Rafailov et al. 2023): -log sigmoid(beta * (d - d_ref)), with d the log-probability of the preferred sequence minus
that of the other one, and d_ref the same of the reference. Sequences are prompts of serving with their answers:

- Yes-no templates: both candidates behind the history, each of them seeing the history and itself only. Preferred is
  Yes behind the chosen one and No behind the other; the other sequence has it the other way round. So d is the
  difference of the scores (yes minus no) by which serving orders the two.
- Label templates: the prompt of the whole list, with the label of the chosen one or of the other.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from datasets import Dataset
from peft import PeftModel
from pydantic import Field
from torch import Tensor
from transformers import AutoTokenizer, PrinterCallback
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.dpo_trainer import DPOTrainer

from genrec.artifacts.adapters import Card, TunedTemplate, label
from genrec.artifacts.adapters import resolve as find_adapter
from genrec.artifacts.models import resolve
from genrec.data.store import open_store
from genrec.domain import TemplateRef
from genrec.errors import DataError, SettingsError
from genrec.training import forward
from genrec.training.base import Example, ExampleSource, TokenSlate
from genrec.training.batches import passes
from genrec.training.config import LoraSettings, LossSettings, Section, TrainConfig
from genrec.training.exposures import PreferencePair, pairs_of
from genrec.training.job import Job
from genrec.training.lora import attach, load_base
from genrec.training.preparing import shown_lists
from genrec.training.processes import Processes
from genrec.training.slates import Slates
from genrec.training.trainer import Outcome, Trainer

Config = TypeVar("Config", bound=TrainConfig)
Pair = tuple[TokenSlate, TokenSlate]
"""The preferred sequence and the other one."""
_REFERENCE = "ref"
"""What trl calls its frozen copy of an adapter."""


class PreferenceLoss(LossSettings):
    """DPO. The terms of other recipes are fixed at nothing."""

    calibration: Literal[0] = 0
    beta: float = Field(default=0.5, gt=0)
    """How dear it is to leave the reference; a difference of 1 / beta between two scores is a clear preference."""


class ShownSettings(Section):
    """Which lists are learned from, and what of them."""

    candidates: int = Field(default=20, ge=2)
    """So many places of a list at most."""
    eta: float = Field(default=0.0, ge=0)
    """Clicks weigh as the rank at which they were made to this power, against the bias of position; 0 is off."""
    skipped: int = Field(default=4, ge=1)
    """A clicked item is compared with so many items above it that were not clicked, the nearest ones."""


@dataclass(frozen=True, eq=False)
class PairedSlate(TokenSlate):
    """A shown list as the model reads it, with its pairs."""

    pairs: tuple[PreferencePair, ...] = ()


class PairedLists:
    """Implements `ExampleSource`: the lists of a source in which something was skipped above a click."""

    def __init__(self, source: ExampleSource, skipped: int) -> None:
        self._source, self._skipped = source, skipped
        found = [len(pairs_of(source.example(0, index, 1.0), skipped)) for index in range(len(source))]
        self._rows = np.flatnonzero(found)
        self.pairs = sum(found)
        if not self.pairs:
            raise DataError(
                "in no shown list an item was skipped above a click",
                "serve more first; preferences are learned from clicks below the first place",
            )

    def __len__(self) -> int:
        return len(self._rows)

    def example(self, epoch: int, index: int, difficulty: float) -> Example:
        """See `ExampleSource`."""
        return self._source.example(epoch, int(self._rows[index]), difficulty)

    def tokenise(self, slates: Slates, example: Example, number: int) -> PairedSlate:
        """A list of the stream of training with its pairs; equal numbers give equal lists."""
        return PairedSlate(**vars(slates.training(example, number)), pairs=tuple(pairs_of(example, self._skipped)))


def prepare_shown(
    job: Job, options: ShownSettings, validation_slates: int, seed: int = 0
) -> tuple[PairedLists, list[Example], dict[str, Any]]:
    """Lists of the training users with pairs, at most so many lists of the validation users, and an account of them.

    DataError if there are none of one or the other.
    """
    how: dict[str, Any] = {
        "held_out": job.held_out,
        "candidates": options.candidates,
        "eta": options.eta,
        "liked": job.settings.scoring.liked,
    }
    source = PairedLists(shown_lists(job.workspace, **how), options.skipped)
    try:
        others = shown_lists(job.workspace, validation=True, **how)
    except DataError as error:
        raise DataError(
            "no user who is kept for validation clicked in a list", "serve more first: a fifth of the users is kept"
        ) from error
    order = np.random.default_rng(seed).permutation(len(others))[:validation_slates]
    held = [others.example(0, index, 1.0) for index in sorted(order.tolist())]
    with open_store(job.workspace, job.settings) as store:
        fingerprint = store.fingerprint()
    info = {
        "data": fingerprint,
        "held_out": job.held_out,
        "seed": seed,
        "lists": len(source),
        "pairs": source.pairs,
        "validation_lists": len(held),
    }
    return source, held, info


def begin(job: Job, config: Config, start: str, template: TemplateRef) -> tuple[PeftModel, Config, dict[str, Any]]:
    """The model with a new adapter, or with the adapter `start`, whose shape the config then has; and which it was.

    SettingsError if that adapter is of another base, template, or split.
    """
    base = load_base(config.model)
    if not start:
        return attach(base, config.lora, config.loop.seed), config, {}
    folder = find_adapter(job.workspace.root, start)
    card = Card.load(folder)
    if (
        card is None
        or (card.base_model, card.template) != (config.model, TunedTemplate.of(template))
        or job.held_out not in (card.held_out, "none")
    ):
        raise SettingsError(
            f"{start!r} was not tuned for this model, template and --held-out",
            "start with an adapter whose card names the same ones, or with none",
        )
    model = PeftModel.from_pretrained(base, folder, is_trainable=True, use_safetensors=True)
    shape = model.peft_config["default"]
    lora = LoraSettings(
        rank=shape.r,
        alpha=shape.lora_alpha,
        dropout=shape.lora_dropout,
        layers=len(shape.layers_to_transform or range(base.config.num_hidden_layers)),
    )
    started = {"start": label(folder), "start_data": card.data["fingerprint"]}
    return model, config.model_copy(update={"lora": lora}), started


def sequences(slate: TokenSlate, chosen: int, rejected: int) -> Pair:
    """The preferred sequence of a pair and the other one, each answer being the last token of its segment."""
    if not slate.suffixes:
        labels = (slate.label_ids[place] for place in (chosen, rejected))
        first, second = (TokenSlate((*slate.prefix, label), (), (label,), np.ones(1)) for label in labels)
        return first, second
    one, other = slate.suffixes[chosen], slate.suffixes[rejected]
    target = np.array([1.0, 0.0])

    def answered(yes: int, no: int) -> TokenSlate:
        return TokenSlate(slate.prefix, ((*one, yes), (*other, no)), slate.label_ids, target)

    yes, no = slate.label_ids
    return answered(yes, no), answered(no, yes)


def inputs(pairs: Sequence[Pair], device: Any) -> dict[str, Tensor]:
    """What the loss of trl takes for N pairs: 2N rows of L tokens, the preferred sequences first.

    `completion_mask` [2N, L] marks the answers; `attention_mask` [2N, 1, L, L] is the block mask.
    """
    batch = forward.collate([sequence for side in zip(*pairs, strict=True) for sequence in side]).to(device)
    return {
        "input_ids": batch.input_ids,
        "position_ids": batch.position_ids,
        "attention_mask": batch.attention_mask,
        "completion_mask": torch.zeros_like(batch.input_ids).scatter(1, batch.read, 1),
    }


class _Alone:
    """Stands for accelerate where trl gathers its metrics: processes have different numbers of passes in a step."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def gather(self, values: Any) -> Any:
        return values

    gather_for_metrics = unwrap_model = gather


class DpoLoss(DPOTrainer):
    """trl's trainer as far as its loss; loop, checkpoints and validation are those of `Trainer`.

    The reference is the model as it is here: a frozen copy of its adapter. Dropout is off from here on.
    """

    def __init__(self, model: Any, name: str, beta: float, folder: Path, device: torch.device) -> None:
        settings = DPOConfig(
            output_dir=str(folder),
            beta=beta,
            bf16=False,
            use_cpu=device.type == "cpu",
            gradient_checkpointing=False,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            # The processes were started already.
            accelerator_config={"use_configured_state": True},
        )
        super().__init__(
            model,
            args=settings,
            train_dataset=Dataset.from_dict({"pair": [0]}),
            processing_class=AutoTokenizer.from_pretrained(resolve(name)),
        )
        self.remove_callback(PrinterCallback)
        self.accelerator = _Alone(device)

    def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:
        """Pairs come as tensors."""
        return dataset

    def seen(self) -> dict[str, float]:
        """Means since the last call: beta * (d - d_ref), and the share of pairs for which it is positive."""
        values: dict[str, float] = {}
        self.log(values)
        self.state.log_history.clear()
        return {f"reward_{name}": values[f"rewards/{name}"] for name in ("margins", "accuracies")}


class PreferenceTrainer(Trainer):
    """`Trainer` on lists with pairs: a step costs the mean of DPO over their pairs, by weight.

    The reference is the model without its adapter if that is `fresh`, else a copy of the adapter as it is.
    """

    def __init__(
        self,
        model: Any,
        config: TrainConfig,
        folder: Path,
        processes: Processes,
        *,
        beta: float,
        fresh: bool,
        **others: Any,
    ) -> None:
        # Before a checkpoint is read, since the reference is where the training began.
        self._dpo: Any = DpoLoss(model, config.model, beta, folder, processes.device)
        if fresh:
            model.delete_adapter(_REFERENCE)
        super().__init__(model, config, folder, processes, **others)

    def run(self, *given: Any, **named: Any) -> Outcome:
        """See `Trainer`. The model has no reference afterwards."""
        outcome = super().run(*given, **named)
        if _REFERENCE in self._model.peft_config:
            self._model.delete_adapter(_REFERENCE)
        return outcome

    def _step(self, slates: Sequence[TokenSlate]) -> dict[str, float]:
        return {**super()._step(slates), **self._dpo.seen()}

    def _accumulate(self, slates: Sequence[TokenSlate]) -> torch.Tensor:
        device = self._processes.device
        sums = torch.zeros(4, dtype=torch.float64, device=device)
        for weight, pairs in _passes(slates, self._config.loop.tokens):
            with self._precision():
                total = self._dpo.compute_loss(self._model, inputs(pairs, device)) * weight * len(pairs)
            total.backward()
            read = sum(sequence.tokens for pair in pairs for sequence in pair)
            sums += torch.tensor([float(total.detach()), weight * len(pairs), 0, read], device=device)
        sums[2] = len(slates)
        return sums


def _passes(slates: Sequence[TokenSlate], tokens: int) -> Iterator[tuple[float, list[Pair]]]:
    """The pairs of the lists in groups of one weight each, for one pass of at most so many tokens."""
    by_weight: dict[float, list[Pair]] = defaultdict(list)
    for slate in slates:
        for pair in slate.pairs if isinstance(slate, PairedSlate) else ():
            by_weight[pair.weight].append(sequences(slate, pair.chosen, pair.rejected))
    for weight, pairs in by_weight.items():
        for rows in passes([preferred for preferred, _ in pairs], tokens // 2):
            yield weight, [pairs[row] for row in rows]
