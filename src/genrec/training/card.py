"""What a run says of its adapter: card.json for programs, README.md for people, and both published with the weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from peft import PeftModel

from genrec import __version__
from genrec.artifacts.adapters import Card, TunedTemplate, publish, resolve
from genrec.data.interactions import BoolArray, FloatArray
from genrec.data.splits import validation_mask
from genrec.training import checkpoints
from genrec.training.base import Example
from genrec.training.config import HeldOut, TrainConfig
from genrec.training.evaluation import interval, ndcg
from genrec.training.job import Job
from genrec.training.lora import save_adapter
from genrec.training.processes import Processes
from genrec.training.slates import Slates
from genrec.training.trainer import Outcome

CHOICE = "Half of the validation users chose the step that was kept; the figures are of the other half."
_SAME = "The validation users are too few to be halved: they chose the step that was kept, and the figures are of them."
LIMITS = (
    "Measured on slates of users that training left out, from the log it was trained on; other catalogues are untried.",
    CHOICE,
    "What the adapter adds to the whole system is not in these figures: see genrec eval.",
)
_RE_RANKED = (
    "Only slates whose target retrieval proposed are measured: the figures are about re-ranking, not about finding."
)
_SHOWN = (
    "Lists as they were shown are measured, and people click on what stands first: the shown order is favoured. What "
    "was asked for in words is not logged with a list, so it was learned from without it."
)
_OFFSET = "The figures are of second stage and model together, as they were trained; the model alone is not measured."
_SIMULATED = (
    "Requests in words are simulated, of words of the very item that was chosen: real ones are harder, and untried."
)
UNMOVED = "No step was better than what tuning started from: the adapter says what that says."
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
    *,
    as_shown: bool = False,
) -> Path:
    """Publishes the adapter as the newest version of its name, with card and README; removes the checkpoints.

    `outcomes` are those of the stages of the recipe, in their order; `held` are the examples of validation:
    slates of retrieval, or lists `as_shown`.
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
        metrics=metrics_of(held, outcomes, "as_shown" if as_shown else "retriever"),
        limits=limits_of(
            job.held_out,
            as_shown=as_shown,
            offset=any(example.offset is not None for example in held),
            simulated=any(example.query is not None for example in held),
            unmoved=all(outcome.progressed.best_step == 0 for outcome in outcomes),
            halved=not choosing(held).all(),
        ),
    )
    if processes.first:
        with publish(job.workspace.root, job.name) as staging:
            save_adapter(model, staging, config.model)
            card.save(staging)
            (staging / "README.md").write_text(readme(job.name, card), "utf-8")
        checkpoints.clear(job.folder)
    processes.end()
    return resolve(job.workspace.root, job.name)


def choosing(held: Sequence[Example]) -> BoolArray:
    """Which slates [V] choose the step that is kept: those of half of the users, by a hash of their id.

    All of them where a half would be empty.
    """
    chosen = validation_mask([example.history.user_id or "" for example in held], fraction=0.5, seed=1)
    return chosen if 0 < chosen.sum() < len(chosen) else np.ones(len(chosen), dtype=np.bool_)


def limits_of(
    held_out: HeldOut,
    *,
    as_shown: bool = False,
    offset: bool = False,
    simulated: bool = False,
    unmoved: bool = False,
    halved: bool = True,
) -> list[str]:
    """What the figures do not say, in words."""
    more = {_SEEN: held_out == "none", _OFFSET: offset, _SIMULATED: simulated, UNMOVED: unmoved}
    return [
        LIMITS[0],
        _SHOWN if as_shown else _RE_RANKED,
        *(_SAME if text == CHOICE and not halved else text for text in LIMITS[1:]),
        *(text for text, holds in more.items() if holds),
    ]


def metrics_of(held: Sequence[Example], outcomes: Sequence[Outcome], given: str = "retriever") -> dict[str, Any]:
    """NDCG@10 with intervals: tuned, before the first stage, and of the order in which slates are `given`.

    Over the validation slates that did not choose (see `choosing`), if there are any. `examples` are what the stages
    learned from: slates, pairs, or histories.
    """
    chose = choosing(held)
    judged = ~chose if not chose.all() else chose
    held = [example for example, keep in zip(held, judged, strict=True) if keep]
    users = [example.history.user_id for example in held]
    as_given = np.array(
        [ndcg(np.array([item.score for item in example.candidates.items]), example.target) for example in held]
    )

    def measured(values: FloatArray) -> dict[str, Any]:
        low, high = interval(values, users)
        return {"value": round(float(values.mean()), 5), "interval": [round(low, 5), round(high, 5)]}

    tuned, untuned = outcomes[-1].ndcg[judged], outcomes[0].untuned[judged]
    progressed = outcomes[-1].progressed
    return {
        "validation_slates": len(held),
        "ndcg@10": measured(tuned),
        "ndcg@10_untuned": measured(untuned),
        f"ndcg@10_{given}": measured(as_given),
        "ndcg@10_gain_over_untuned": measured(tuned - untuned),
        "best_step": progressed.best_step,
        "steps": progressed.step,
        "examples": sum(outcome.progressed.slates for outcome in outcomes),
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
        f"Best at step {card.metrics['best_step']} of {card.metrics['steps']}, {card.metrics['examples']} examples,"
        f" {card.metrics['minutes']} minutes.",
        "",
        "## Limits",
        *(f"- {limit}" for limit in card.limits),
        "",
        "The settings are in card.json.",
    ]
    return "\n".join(lines) + "\n"
