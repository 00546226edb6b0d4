"""Tunes the ranker first on what the second stage says of whole slates, then on what people chose.

    genrec finetune rank_distill --workspace workspace --name rank

1. Teacher: soft targets over every candidate from the fused scorer, which has not seen the events to be foreseen.
   A click says one thing of a slate, a teacher twenty (Hinton, Vinyals, Dean 2015).
2. Clicks: the same slates with the item chosen, hard negatives from the start, at a lower learning rate.
3. The best adapter by NDCG@10 on the slates of other users goes live in the workspace, with a card.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from genrec.training import checkpoints
from genrec.training.augment import AugmentSettings
from genrec.training.batches import Batches
from genrec.training.card import choosing, publish_adapter
from genrec.training.config import Section, TrainConfig
from genrec.training.examples import ExampleSettings
from genrec.training.job import Job
from genrec.training.lora import attach, load_base
from genrec.training.preparing import prepare
from genrec.training.slates import Slates
from genrec.training.trainer import Trainer


class Stages(Section):
    """How the two stages share steps and time."""

    teacher_share: float = Field(default=0.5, gt=0, lt=1)
    """Share of `loop.steps` and `loop.max_minutes` that goes to the teacher."""
    click_lr: float = Field(default=0.3, gt=0)
    """Factor on `optim.lr` in the second stage."""


class Config(TrainConfig):
    """See `finetune/configs/rank_distill.yaml`. `examples.targets` is set by the stage."""

    examples: ExampleSettings = ExampleSettings()
    augment: AugmentSettings = AugmentSettings()
    stages: Stages = Stages()


def main(job: Job) -> Path:
    config = job.config(Config)
    processes = job.start(config)

    first, second = config.loop.shared(config.stages.teacher_share)
    clicks = config.optim.model_copy(update={"lr": config.optim.lr * config.stages.click_lr})
    stages = {
        "teacher": config.model_copy(update={"loop": first}),
        "next": config.model_copy(update={"loop": second.model_copy(update={"curriculum": 0}), "optim": clicks}),
    }

    model = attach(load_base(config.model), config.lora, config.loop.seed)
    slates = Slates(job.settings, config, config.augment)
    begun = checkpoints.begun(job.folder / "next")
    outcomes = []
    for targets, stage in stages.items():
        source, held, info = prepare(
            job.workspace,
            job.settings,
            config.examples.model_copy(update={"targets": targets}),
            held_out=job.held_out,
            language=slates.language,
            validation_slates=config.loop.validation_slates,
            seed=config.loop.seed,
            progress=job.progress,
        )
        batches = Batches(source, slates.training, stage.loop, processes.index, processes.count)
        held, validation = slates.validation(held)
        trainer = Trainer(
            model,
            stage,
            job.folder / targets,
            processes,
            identity=[info, slates.identity],
            run=f"genrec-{targets}",
            progress=job.progress,
        )
        # Anyone who comes back with more time must not teach a stage on that another was built on already.
        over = targets == "teacher" and begun
        outcomes.append(trainer.run(batches, validation, choosing(held), over=over))

    return publish_adapter(job, processes, model, config, slates, held, outcomes, info)
