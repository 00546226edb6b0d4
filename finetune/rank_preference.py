"""Tunes the ranker on what people clicked in lists that they were shown, and what they passed over: DPO by trl.

    genrec finetune rank_preference --workspace workspace --name rank start=rank

1. Pairs: each clicked item against the nearest items above it that were not clicked, from the lists of training users.
2. Each pair is read through the prompts of serving; the loss asks for more preference than the reference has, which is
   the adapter `start`, or the base model.
3. The best adapter by NDCG@10 on the lists of other users goes live in the workspace, with a card.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from genrec.training.augment import AugmentSettings
from genrec.training.batches import Batches
from genrec.training.card import choosing, publish_adapter
from genrec.training.config import TrainConfig
from genrec.training.job import Job
from genrec.training.preference import PreferenceLoss, PreferenceTrainer, ShownSettings, begin, prepare_shown
from genrec.training.slates import Slates


class Config(TrainConfig):
    """See `finetune/configs/rank_preference.yaml`."""

    start: str = ""
    loss: PreferenceLoss = PreferenceLoss()
    shown: ShownSettings = ShownSettings()
    augment: AugmentSettings = AugmentSettings(truncate=0, drop_field=0, drop_values=0)


def main(job: Job) -> Path:
    config = job.config(Config)
    loop = config.loop
    processes = job.start(config)

    source, held, info = prepare_shown(job, config.shown, loop.validation_slates, loop.seed)
    slates = Slates(job.settings, config, config.augment)
    batches = Batches(source, partial(source.tokenise, slates), loop, processes.index, processes.count)
    held, validation = slates.validation(held)

    model, config, started = begin(job, config, config.start, slates.template)
    info |= started
    trainer = PreferenceTrainer(
        model,
        config,
        job.folder,
        processes,
        beta=config.loss.beta,
        fresh=not config.start,
        identity=[info, slates.identity],
        progress=job.progress,
    )
    outcome = trainer.run(batches, validation, choosing(held))

    return publish_adapter(job, processes, model, config, slates, held, [outcome], info, as_shown=True)
