"""The two sides of bench_finetune.py: each tunes an adapter on the slates of a file, and says how long it took."""

from __future__ import annotations

import argparse
import json
import resource
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter
from types import SimpleNamespace
from typing import Any

import numpy as np

FILE = "slates.json"
Report = Callable[[str, int, int], None]


def tune_genrec(work: Path, options: argparse.Namespace, report: Report) -> dict[str, Any]:
    """genrec's trainer, as the recipe calls it."""
    from genrec.training import checkpoints, logs
    from genrec.training.processes import Processes
    from genrec.training.trainer import Trainer

    config, training, validation = read(work)
    model = tuned_model(config)
    folder = work / "genrec"
    clock = Clock(report)

    def progress(what: str, done: int, total: int) -> None:
        if what == "training steps":
            clock.step(done, total)

    trainer = Trainer(model, config, folder, Processes(("tensorboard",), folder), progress=progress)
    trainer.run(SimpleNamespace(batch=training.__getitem__), validation[:1])  # type: ignore[arg-type]
    found = clock.measured()
    # The trainer puts back the best weights of its own validation; wanted are those after the last slate.
    last = checkpoints.latest(folder)
    assert last is not None
    assert not model.load_state_dict(last.weights, strict=False).unexpected_keys
    with model.disable_adapter():
        untuned = ndcgs(model, validation, report)
    return {
        **found,
        "rates": [line["lr"] for line in logs.read(folder) if "lr" in line],
        "tokens": float(np.mean([slate.tokens for batch in training for slate in batch])),
        "ndcg": ndcgs(model, validation, report),
        "untuned": untuned,
    }


def tune_trl(work: Path, options: argparse.Namespace, report: Report) -> dict[str, Any]:
    """SFTTrainer of trl on a row a candidate."""
    import torch
    from datasets import Dataset, disable_progress_bars
    from transformers import AutoTokenizer, PrinterCallback, TrainerCallback
    from trl.trainer.sft_config import SFTConfig
    from trl.trainer.sft_trainer import SFTTrainer

    from genrec.artifacts.models import resolve
    from genrec.llm import hardware
    from genrec.training.trainer import rate

    disable_progress_bars()
    config, training, validation = read(work)
    steps = [rows_of(batch) for batch in training]
    rows = micro_batch(steps, options.rows, config.loop.tokens)
    model = tuned_model(config)
    optim = config.optim
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=optim.lr, betas=optim.betas, weight_decay=optim.weight_decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: rate(optim, step, config.loop.steps) / optim.lr
    )
    clock, rates = Clock(report), []

    class Watch(TrainerCallback):  # type: ignore[misc]
        def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **others: Any) -> None:
            rates.append(optimizer.param_groups[0]["lr"])

        def on_step_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
            clock.step(state.global_step, state.max_steps)

    trainer = SFTTrainer(
        model,
        args=SFTConfig(
            output_dir=str(work / "trl"),
            max_steps=config.loop.steps,
            per_device_train_batch_size=rows,
            gradient_accumulation_steps=len(steps[0]) // rows,
            train_sampling_strategy="sequential",
            completion_only_loss=True,
            max_length=None,
            max_grad_norm=optim.clip,
            gradient_checkpointing=False,
            bf16=config.loop.autocast,
            use_cpu=hardware.device() == "cpu",
            dataloader_pin_memory=hardware.device() != "cpu",
            seed=config.loop.seed,
            save_strategy="no",
            logging_strategy="no",
            report_to="none",
            disable_tqdm=True,
        ),
        train_dataset=Dataset.from_list([row for step in steps for row in step]),
        processing_class=AutoTokenizer.from_pretrained(resolve(config.model)),
        optimizers=(optimizer, schedule),
        callbacks=[Watch()],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    found = clock.measured()
    longest = [len(step[last]["input_ids"]) for step in steps for last in range(rows - 1, len(step), rows)]
    return {
        **found,
        "rates": rates,
        "rows": rows,
        "tokens": rows * sum(longest) / sum(map(len, training)),
        "ndcg": ndcgs(model, validation, report),
    }


SIDES = {"genrec": tune_genrec, "trl": tune_trl}


def rows_of(slates: Sequence[Any]) -> list[dict[str, list[int]]]:
    """A row for each candidate of the slates of a step: its prompt and Yes or No, shortest first.

    They are what trl makes of columns prompt and completion, but from the very tokens that serving sends.
    """
    rows = []
    for slate in slates:
        yes, no = slate.label_ids
        for suffix, gain in zip(slate.suffixes, slate.target, strict=True):
            prompt = [*slate.prefix, *suffix]
            answer = yes if gain == slate.target.max() else no
            rows.append({"input_ids": [*prompt, answer], "completion_mask": [0] * len(prompt) + [1]})
    return sorted(rows, key=lambda row: len(row["input_ids"]))


def micro_batch(steps: Sequence[Sequence[dict[str, list[int]]]], wanted: int, tokens: int) -> int:
    """Rows of a micro-batch: a divisor of those of a step, at most `wanted`, or as many as have so many tokens."""
    counts = {len(step) for step in steps}
    if len(counts) > 1:
        raise SystemExit("slates of different size: give examples.candidates=N that the pools can always fill")
    longest = max(len(row["input_ids"]) for step in steps for row in step)
    most, count = wanted or max(1, tokens // longest), counts.pop()
    return max(divisor for divisor in range(1, min(most, count) + 1) if count % divisor == 0)


class Clock:
    """The time between the ends of two steps, and the peak of memory."""

    def __init__(self, report: Report) -> None:
        self._report, self._ends = report, [perf_counter()]

    def step(self, done: int, total: int) -> None:
        """A step has ended."""
        self._ends.append(perf_counter())
        self._report("training steps", done, total)

    def measured(self) -> dict[str, Any]:
        """Seconds of each step, and the largest resident set of this process so far in bytes."""
        unit = 1 if sys.platform == "darwin" else 1024
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
        return {"seconds": np.diff(self._ends).tolist(), "peak_bytes": peak}


def tuned_model(config: Any) -> Any:
    """The base with a fresh adapter: the same weights whenever it is called."""
    from genrec.training.lora import attach, load_base

    return attach(load_base(config.model), config.lora, config.loop.seed)


def ndcgs(model: Any, slates: Sequence[Any], report: Report) -> list[float]:
    """NDCG@10 of each slate, read as the trainer of genrec does in validation."""
    import torch

    from genrec.training import forward
    from genrec.training.evaluation import ndcg

    model.eval()
    found = []
    with torch.no_grad():
        for slate in slates:
            scores = forward.scores(model, forward.collate([slate]).to(model.device))[0]
            found.append(ndcg(scores.double().cpu().numpy(), slate.target))
            report("validation slates", len(found), len(slates))
    return found


def as_json(slate: Any) -> dict[str, Any]:
    """A slate that `read` gives back."""
    if not slate.suffixes:
        raise SystemExit("the template has no Yes and No: bench a pointwise one")
    return {**vars(slate), "target": slate.target.tolist(), "offset": None}


def read(work: Path) -> tuple[Any, list[list[Any]], list[Any]]:
    """Config, slates of each step, and slates of validation, as `prepare` wrote them."""
    from genrec.training.base import TokenSlate
    from genrec.training.config import TrainConfig

    def slate(found: dict[str, Any]) -> TokenSlate:
        suffixes = tuple(map(tuple, found["suffixes"]))
        target = np.array(found["target"])
        return TokenSlate(tuple(found["prefix"]), suffixes, tuple(found["label_ids"]), target, found["weight"])

    data = json.loads((work / FILE).read_text())
    training = [[slate(found) for found in step] for step in data["training"]]
    return TrainConfig.model_validate(data["config"]), training, [slate(found) for found in data["validation"]]
