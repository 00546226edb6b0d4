"""Tunes the ranker on what people chose next: a LoRA adapter from slates of retrieval, one pass a slate.

    genrec finetune rank_lora --workspace workspace --name rank

1. Slates: the last liked events of each training user, candidates from retrievers that have not seen them.
2. The model reads each slate as serving does; listwise loss over its scores, negatives from easy to hard.
3. The best adapter by NDCG@10 on the slates of other users goes live in the workspace, with a card.
"""

from __future__ import annotations

from pathlib import Path

from genrec.training.augment import AugmentSettings
from genrec.training.batches import Batches
from genrec.training.card import choosing, publish_adapter
from genrec.training.config import TrainConfig
from genrec.training.examples import ExampleSettings
from genrec.training.job import Job
from genrec.training.lora import attach, load_base
from genrec.training.preparing import prepare
from genrec.training.slates import Slates
from genrec.training.trainer import Trainer


class Config(TrainConfig):
    """See `finetune/configs/rank_lora.yaml`."""

    examples: ExampleSettings = ExampleSettings()
    augment: AugmentSettings = AugmentSettings()


def main(job: Job) -> Path:
    config = job.config(Config)
    loop = config.loop
    processes = job.start(config)

    slates = Slates(job.settings, config, config.augment)
    source, held, info = prepare(
        job.workspace,
        job.settings,
        config.examples,
        held_out=job.held_out,
        language=slates.language,
        validation_slates=loop.validation_slates,
        seed=loop.seed,
        progress=job.progress,
    )
    batches = Batches(source, slates.training, loop, processes.index, processes.count)
    held, validation = slates.validation(held)

    model = attach(load_base(config.model), config.lora, loop.seed)
    trainer = Trainer(model, config, job.folder, processes, identity=[info, slates.identity], progress=job.progress)
    outcome = trainer.run(batches, validation, choosing(held))

    return publish_adapter(job, processes, model, config, slates, held, [outcome], info)
