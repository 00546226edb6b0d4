"""The loop: batches, one block-masked pass for each few slates, AdamW, validation, checkpoints."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genrec.data.interactions import BoolArray, FloatArray
from genrec.errors import DataError, ModelError, WorkspaceError
from genrec.text.encoders import Progress
from genrec.training import checkpoints, forward
from genrec.training.base import TokenSlate
from genrec.training.batches import Batches, passes
from genrec.training.checkpoints import Checkpoint, Progressed
from genrec.training.config import OptimSettings, TrainConfig
from genrec.training.evaluation import ndcg
from genrec.training.logs import Log
from genrec.training.losses import SlateLoss
from genrec.training.processes import Processes

_FREE = {"max_minutes", "patience", "save_every", "trackers"}
"""Settings of the loop that may change between an interruption and the resumption."""


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a training came to; the model then holds the weights of the best step.

    `ndcg` and `untuned` [V] are the NDCG@10 of each validation slate at the best step and before the first. `stopped`
    says why: steps, time or patience.
    """

    ndcg: FloatArray
    untuned: FloatArray
    progressed: Progressed
    stopped: str


class Trainer:
    """Trains the adapter of a model. The folder keeps checkpoints and logs; a new trainer on it goes on where it stood.

    `identity` (JSON) names the data and the template, which decide the losses together with the settings. `run` is the
    name that trackers show. Raises WorkspaceError if the folder has a checkpoint of another identity.
    """

    def __init__(
        self,
        model: Any,
        config: TrainConfig,
        folder: Path,
        processes: Processes,
        *,
        identity: Any = None,
        run: str = "genrec",
        progress: Progress | None = None,
    ) -> None:
        self._config, self._folder, self._processes, self._progress = config, folder, processes, progress
        self._run = run
        self._model = model.to(processes.device)
        self._loss = SlateLoss(config.loss.calibration)
        self._weights = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
        self._names = {id(weight): name for name, weight in self._weights.items()}
        optim = config.optim
        self._optimizer = torch.optim.AdamW(
            list(self._weights.values()), lr=optim.lr, betas=optim.betas, weight_decay=optim.weight_decay
        )
        self._state = Progressed(_identity(config, identity, processes.count), planned=config.loop.steps)
        self._best: dict[str, Tensor] = {}
        self._resume()
        processes.wait()  # the first to save removes the checkpoint that others may still read

    def run(
        self,
        batches: Batches,
        validation: Sequence[TokenSlate],
        chooses: BoolArray | None = None,
        *,
        over: bool = False,
    ) -> Outcome:
        """Trains until steps, time or patience are at an end, then loads the best weights. DataError without slates.

        The slates in `chooses` [V] (all if not given) decide which are the best; the others are there to be reported.
        With `over` nothing is trained on: what was best before is all there is.
        """
        if not validation:
            raise DataError(
                "no slate of the validation users holds its target", "import more events, or raise candidates"
            )
        loop, state = self._config.loop, self._state
        self._chooses = np.ones(len(validation), dtype=np.bool_) if chooses is None else chooses
        started = time.monotonic() - state.seconds
        done = state.step if state.validations else -1
        log = Log(self._folder, self._processes, self._run, self._config.model_dump(mode="json"), done)
        if not state.validations:
            self._validate(validation, log)
            self._save()
        while (stopped := "time" if over else self._why_stop()) is None:
            values = self._step(batches.batch(state.step))
            state.step += 1
            state.seconds = self._processes.agreed(time.monotonic() - started)
            log.write(state.step, **values, slates_per_second=state.slates / max(state.seconds, 1e-9))
            if self._progress:
                self._progress("training steps", state.step, state.planned)
            if state.step % loop.evaluate_every == 0:
                self._validate(validation, log)
            if state.step % loop.save_every == 0:
                self._save()
        if state.validations[-1]["step"] != state.step:
            self._validate(validation, log)
        self._save()
        log.close()
        _put(self._weights, self._best)
        return Outcome(np.array(state.best_ndcg), np.array(state.untuned_ndcg), state, stopped)

    def scores(self, slate: TokenSlate) -> FloatArray:
        """What orders the candidates of a slate [n]: the model's score, and the offset where there is one."""
        with torch.no_grad(), self._precision():
            batch = forward.collate([slate]).to(self._processes.device)
            combined = self._loss.combined(forward.scores(self._model, batch), batch.offset)
        return np.asarray(combined[0].double().cpu().numpy())

    def _step(self, slates: Sequence[TokenSlate]) -> dict[str, float]:
        """One optimizer step on this process's slates and those of the others: what to log of it."""
        config, state = self._config, self._state
        for group in self._optimizer.param_groups:
            group["lr"] = rate(config.optim, state.step, state.planned)
        # Dropout follows from seed, step and process: no state of a generator needs to be kept.
        torch.manual_seed(hash((config.loop.seed, state.step, self._processes.index)) % 2**63)
        self._model.train()
        self._optimizer.zero_grad()
        loss, _, count, tokens = self._average(self._accumulate(slates))
        if not math.isfinite(loss):
            raise ModelError(f"the loss is no number at step {state.step + 1}", "start over with a lower optim.lr")
        norm = torch.nn.utils.clip_grad_norm_(list(self._weights.values()), config.optim.clip)
        self._optimizer.step()
        state.slates += int(count)
        state.tokens += int(tokens)
        return {"loss": loss, "lr": self._optimizer.param_groups[0]["lr"], "gradient_norm": float(norm)}

    def _accumulate(self, slates: Sequence[TokenSlate]) -> Tensor:
        """Adds up the gradients of the slates; sums of loss, weight, slates and tokens [4]."""
        device = self._processes.device
        sums = torch.zeros(4, dtype=torch.float64, device=device)
        for rows in passes(slates, self._config.loop.tokens):
            with self._precision():
                losses, weights = self._losses([slates[row] for row in rows])
            total = (losses * weights).sum()
            total.backward()
            read = sum(slates[row].tokens for row in rows)
            sums += torch.tensor([float(total.detach()), float(weights.sum()), len(rows), read], device=device)
        return sums

    def _losses(self, slates: Sequence[TokenSlate]) -> tuple[Tensor, Tensor]:
        """Loss and weight of each slate [B], by one forward pass."""
        batch = forward.collate(slates).to(self._processes.device)
        scores = forward.scores(self._model, batch)
        losses = self._loss(scores, batch.target, batch.present, batch.offset, yes_no=batch.yes_no)
        return losses, batch.weight

    def _precision(self) -> torch.autocast:
        return torch.autocast(self._processes.device.type, torch.bfloat16, enabled=self._config.loop.autocast)

    def _average(self, sums: Tensor) -> tuple[float, float, float, float]:
        """Makes gradients those of the mean loss over all processes by weight (self-normalised propensities).

        `sums` has loss, weight, slates and tokens of this process; the mean loss and the other sums are given back.
        """
        if self._processes.count > 1:
            weights = list(self._weights.values())
            own = [torch.zeros_like(weight) if weight.grad is None else weight.grad for weight in weights]
            flat = self._processes.sum(torch.cat([gradient.flatten() for gradient in own]))
            sums = self._processes.sum(sums)
            for weight, part in zip(weights, flat.split([weight.numel() for weight in weights]), strict=True):
                weight.grad = part.view_as(weight)
        loss, weight_sum, slates, tokens = sums.tolist()
        for weight in self._weights.values():
            if weight.grad is not None:
                weight.grad /= weight_sum
        return loss / weight_sum, weight_sum, slates, tokens

    def _validate(self, slates: Sequence[TokenSlate], log: Log) -> None:
        """NDCG@10 over the fixed slates, each process taking its share; keeps the weights if they are the best."""
        begun, state, count = time.monotonic(), self._state, self._processes.count
        self._model.eval()
        found = torch.zeros(len(slates), dtype=torch.float64, device=self._processes.device)
        mine = range(self._processes.index, len(slates), count)
        for row in mine:
            found[row] = ndcg(self.scores(slates[row]), slates[row].target)
            if self._progress:
                self._progress("validation slates", row + 1, len(slates))
        values = self._processes.sum(found).tolist()
        measured = float(np.mean(np.array(values)[self._chooses]))
        if not state.validations:
            state.untuned_ndcg = values
        if not state.validations or measured > state.validations[state.best]["ndcg@10"]:
            state.best, state.best_ndcg = len(state.validations), values
            self._best = {name: weight.detach().to("cpu", copy=True) for name, weight in self._weights.items()}
        state.validations.append({"step": state.step, "ndcg@10": measured})
        state.validation_seconds = self._processes.agreed(time.monotonic() - begun)
        log.write(state.step, **{"validation_ndcg@10": measured})

    def _why_stop(self) -> str | None:
        loop, state = self._config.loop, self._state
        if loop.max_minutes and state.seconds + state.validation_seconds >= 60 * loop.max_minutes:
            return "time"
        if state.step >= state.planned:
            return "steps" if state.planned == loop.steps else "time"
        return "patience" if len(state.validations) - 1 - state.best >= loop.patience else None

    def _plan(self) -> None:
        """Bends the schedule to what the time allows.

        Only here the clock acts on the losses. Whatever the plan is made of is saved with it, so that who resumes makes
        the same plan, or under another `max_minutes` their own.
        """
        loop, state = self._config.loop, self._state
        state.planned = loop.steps
        if loop.max_minutes and state.step:
            left = 60 * loop.max_minutes - state.seconds - state.validation_seconds
            state.planned = min(loop.steps, state.step + max(0, int(left / (state.seconds / state.step))))

    def _save(self) -> None:
        self._plan()
        if self._processes.first:
            now = {name: weight.detach().to("cpu", copy=True) for name, weight in self._weights.items()}
            moments = checkpoints.moments(self._optimizer, self._names)
            checkpoints.save(self._folder, Checkpoint(self._state, now, moments, self._best))
        self._processes.wait()

    def _resume(self) -> None:
        checkpoint = checkpoints.latest(self._folder)
        if checkpoint is None:
            return
        if checkpoint.progressed.identity != self._state.identity:
            raise WorkspaceError(
                f"{self._folder} has an unfinished training with other settings, data or number of processes",
                "give it those again, start over with --no-resume, or choose another --name",
            )
        self._state, self._best = checkpoint.progressed, checkpoint.best
        _put(self._weights, checkpoint.weights)
        checkpoints.restore_moments(self._optimizer, self._names, checkpoint.moments)
        self._plan()


def rate(optim: OptimSettings, step: int, planned: int) -> float:
    """Learning rate of a step (from 0): linear warm-up, then down to a tenth of the peak at the last planned step."""
    if step < optim.warmup:
        return optim.lr * (step + 1) / optim.warmup
    done = min(1.0, (step - optim.warmup) / max(1, planned - optim.warmup))
    left = {"constant": 1.0, "linear": 1 - done, "cosine": (1 + math.cos(math.pi * done)) / 2}[optim.schedule]
    return optim.lr * (0.1 + 0.9 * left)


def _put(weights: dict[str, Tensor], values: dict[str, Tensor]) -> None:
    with torch.no_grad():
        for name, weight in weights.items():
            weight.copy_(values[name])


def _identity(config: TrainConfig, data: Any, processes: int) -> str:
    decides = config.model_dump(mode="json", exclude={"loop": _FREE})
    text = json.dumps([decides, data, processes], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
