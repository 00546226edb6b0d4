"""Merges an adapter into its base: a model folder of its own, for engines on a CPU and for other tools.

    genrec finetune merge --workspace workspace --name rank

The folder goes to `models/<name>` of the workspace, with the card of the adapter beside the weights.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from genrec.artifacts import downloads
from genrec.artifacts.adapters import CARD, Card, resolve
from genrec.llm.merging import weights
from genrec.training.config import Section, load_config
from genrec.training.job import Job


class Config(Section):
    """See `finetune/configs/merge.yaml`."""

    adapter: str = ""
    """Name, name@version, or folder; the live version of --name if not given."""


def main(job: Job) -> Path:
    config = load_config(Config, job.file, job.overrides)
    adapter = resolve(job.workspace.root, config.adapter or job.name)
    card = Card.load(adapter)

    model = job.settings.model.model_copy(
        update={"adapter": str(adapter), "name": card.base_model if card else job.settings.model.name}
    )
    merged = weights(model)

    target = job.workspace.root / "models" / job.name
    # `job.locked` keeps others from this name.
    with downloads.staged(target, f"{model.name} with {adapter.name}") as staging:
        shutil.copytree(merged, staging, dirs_exist_ok=True, ignore=shutil.ignore_patterns(downloads.MARKER))
        if card:
            shutil.copy(adapter / CARD, staging)
    return target
