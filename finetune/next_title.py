"""Tunes the ranker first on what people did, line by line, then on what they chose, as `rank_lora` does.

    genrec finetune next_title --workspace workspace --name rank

1. Titles: the histories of training users in the words of the ranker's prompt, each line foreseen from those before it;
   the adapter that foresees the histories of other users best goes on.
2. Clicks: slates of retrieval, listwise loss over the scores, negatives from easy to hard.
3. The best adapter by NDCG@10 on the slates of other users goes live in the workspace, with a card.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from genrec.learning.augment import AugmentSettings
from genrec.learning.batches import Batches
from genrec.learning.card import choosing, publish_adapter
from genrec.learning.config import Section, TrainConfig
from genrec.learning.examples import ExampleSettings
from genrec.learning.job import Job
from genrec.learning.lora import attach, load_base
from genrec.learning.next_title import Histories, HistoryLines, TitleTrainer
from genrec.learning.preparing import prepare
from genrec.learning.slates import Slates
from genrec.learning.trainer import Trainer


class Stage(Section):
    """The first stage."""

    share: float = Field(default=0.3, gt=0, lt=1)
    """Share of `loop.steps` and `loop.max_minutes` that goes to titles."""


class Config(TrainConfig):
    """See `finetune/configs/next_title.yaml`."""

    examples: ExampleSettings = ExampleSettings()
    augment: AugmentSettings = AugmentSettings()
    stage: Stage = Stage()


def main(job: Job) -> Path:
    config = job.config(Config)
    seed, (first, second) = config.loop.seed, config.loop.shared(config.stage.share)
    processes = job.start(config)
    share = processes.index, processes.count

    slates = Slates(job.settings, config, config.augment)
    source, held, info = prepare(
        job.workspace,
        job.settings,
        config.examples,
        held_out=job.held_out,
        language=slates.language,
        validation_slates=config.loop.validation_slates,
        seed=seed,
        progress=job.progress,
    )
    validation, chooses = slates.validation(held), choosing(held)
    model = attach(load_base(config.model), config.lora, seed)

    lines = HistoryLines(job.settings, config)
    titles = TitleTrainer(
        model,
        config.model_copy(update={"loop": first}),
        job.folder / "titles",
        processes,
        histories=lines.validation([example for example, keep in zip(held, chooses, strict=True) if keep]),
        identity=[info, lines.identity],
        run="genrec-titles",
        progress=job.progress,
    )
    histories = Histories(source.positions, source.items, seed)
    before = titles.run(Batches(histories, lines.training, first, *share), validation, chooses)

    clicks = Trainer(
        model,
        config.model_copy(update={"loop": second}),
        job.folder / "next",
        processes,
        identity=[info, slates.identity],
        run="genrec-next",
        progress=job.progress,
    )
    after = clicks.run(Batches(source, slates.training, second, *share), validation, chooses)

    return publish_adapter(job, processes, model, config, slates, held, [before, after], info)
