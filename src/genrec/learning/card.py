"""What a run says of its adapter: card.json for programs, README.md for people, and both published with the weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from peft import PeftModel

from genrec import __version__
from genrec.adapters import Card, TunedTemplate, publish, resolve
from genrec.data.interactions import FloatArray
from genrec.learning import checkpoints
from genrec.learning.base import Example
from genrec.learning.config import HeldOut, TrainConfig
from genrec.learning.evaluation import interval, ndcg
from genrec.learning.job import Job
from genrec.learning.lora import save_adapter
from genrec.learning.processes import Processes
from genrec.learning.slates import Slates
from genrec.learning.trainer import Outcome

LIMITS = (
    "Measured on slates of users that training left out, from the log it was trained on; other catalogues are untried.",
    "Only slates whose target retrieval proposed are measured: the figures are about re-ranking, not about finding.",
    "What the adapter adds to the whole system is not in these figures: see genrec eval.",
)
_SEEN = "It has seen every event of the log: no figure on that log is a test of it."


def publish_adapter(
    job: Job,
    processes: Processes,
    model: PeftModel,
    config: TrainConfig,
    slates: Slates,
    held: Sequence[Example],
    outcomes: Sequence[Outcome],
    info: dict[str, Any],
) -> Path:
    """Publishes the adapter as the newest version of its name, with card and README; removes the checkpoints.

    `outcomes` are those of the stages of the recipe, in their order; `held` are the examples of validation.
    """
    card = Card(
        base_model=config.model,
        recipe=job.recipe,
        ranker=slates.ranker,
        template=TunedTemplate.of(slates.template),
        data={"fingerprint": info["data"], **{key: value for key, value in info.items() if key != "data"}},
        held_out=job.held_out,
        validation_users="a fifth of the users by a hash of their id (genrec.data.splits.validation_mask)",
        settings={"genrec": __version__, **config.model_dump(mode="json")},
        metrics=metrics_of(held, outcomes),
        limits=limits_of(job.held_out),
    )
    if processes.first:
        with publish(job.workspace.root, job.name) as staging:
            save_adapter(model, staging, config.model)
            card.save(staging)
            (staging / "README.md").write_text(readme(job.name, card), "utf-8")
        checkpoints.clear(job.folder)
    processes.end()
    return resolve(job.workspace.root, job.name)


def limits_of(held_out: HeldOut) -> list[str]:
    """What the figures do not say, in words."""
    return [*LIMITS, _SEEN] if held_out == "none" else list(LIMITS)


def metrics_of(held: Sequence[Example], outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """NDCG@10 over the validation slates with intervals: tuned, before the first stage, and of retrieval's order."""
    users = [example.history.user_id for example in held]
    retriever = np.array(
        [ndcg(np.array([item.score for item in example.candidates.items]), example.target) for example in held]
    )

    def measured(values: FloatArray) -> dict[str, Any]:
        low, high = interval(values, users)
        return {"value": round(float(values.mean()), 5), "interval": [round(low, 5), round(high, 5)]}

    tuned, untuned = outcomes[-1].ndcg, outcomes[0].untuned
    progressed = outcomes[-1].progressed
    return {
        "validation_slates": len(held),
        "ndcg@10": measured(tuned),
        "ndcg@10_untuned": measured(untuned),
        "ndcg@10_retriever": measured(retriever),
        "ndcg@10_gain_over_untuned": measured(tuned - untuned),
        "best_step": progressed.validations[progressed.best]["step"],
        "steps": progressed.step,
        "slates": sum(outcome.progressed.slates for outcome in outcomes),
        "minutes": round(sum(outcome.progressed.seconds for outcome in outcomes) / 60, 1),
        "stopped": outcomes[-1].stopped,
    }


def readme(name: str, card: Card) -> str:
    """The model card in Markdown, with the front matter that model hubs read."""
    rows = [
        f"| {key} | {value['value']:.4f} | {value['interval'][0]:.4f} to {value['interval'][1]:.4f} |"
        for key, value in card.metrics.items()
        if isinstance(value, dict)
    ]
    data = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in card.data.items() if key != "fingerprint")
    lines = [
        "---",
        "library_name: peft",
        f"base_model: {card.base_model}",
        "tags: [lora, recommendation, genrec]",
        "---",
        f"# {name}",
        "",
        f"A LoRA adapter for `{card.base_model}` that orders recommendations, made by `genrec finetune {card.recipe}`"
        f" on {card.created}. It is read by the ranker `{card.ranker}` through the template {card.template};"
        " through another template it is untried, and genrec warns.",
        "",
        "## Data",
        f"Log {card.data['fingerprint']}: {data}. Held out: {card.held_out}.",
        f"Validation users: {card.validation_users}.",
        "",
        "## Measured",
        f"NDCG@10 over {card.metrics['validation_slates']} validation slates, 95 % intervals by bootstrap over users.",
        "",
        "| Measure | Value | Interval |",
        "|---|---|---|",
        *rows,
        "",
        f"Best at step {card.metrics['best_step']} of {card.metrics['steps']}, {card.metrics['slates']} slates,"
        f" {card.metrics['minutes']} minutes.",
        "",
        "## Limits",
        *(f"- {limit}" for limit in card.limits),
        "",
        "The settings are in card.json.",
    ]
    return "\n".join(lines) + "\n"
