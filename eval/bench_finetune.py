"""How fast a ranker is tuned: the pointwise trainer of genrec against trl's SFTTrainer, in one run on one machine.

    python eval/bench_finetune.py --workspace W --json - --html bench_finetune.html

Both tune the same base with the same LoRA adapter, optimiser, schedule and type of numbers on the same slates in the
same order, and are judged by the same function on the same slates of other users:

    genrec   recipe rank_lora: a slate is one row, the history once and all candidates behind it under a block mask;
             listwise loss over the candidates
    trl      SFTTrainer: a slate is one row a candidate, as serving renders its prompt, completed by Yes or No;
             cross-entropy on the completion only

An optimiser step takes the same slates on both sides. trl reads them in micro-batches of `--rows` rows of similar
length (by default as many as genrec has tokens in a pass), accumulated; its packing and padding-free modes need
FlashAttention, which CPUs lack. Neither side checkpoints activations. Slates are rendered before the clock runs.

Each side runs in a process of its own, so that its peak of memory is its own; with --state FILE an interrupted run
goes on behind the last finished side. Settings of the recipe can be changed by section.key=value behind the options.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from bench_finetune_sides import FILE, SIDES, Report, as_json

WARM_UP = 2
"""Steps that are not counted: libraries start their threads, memory is taken for the first time."""
FASTER = 5.0
DEFINITIONS = {
    "slates_per_second": "Median over optimiser steps after warm-up, with quartiles.",
    "peak_gib": "Largest resident set of the process until the last step.",
    "tokens_per_slate": "Tokens computed for a slate, those of padding included for trl.",
    "ndcg@10": "Mean over slates of users kept for validation, after the last step.",
}


def prepare(work: Path, options: argparse.Namespace, report: Report) -> dict[str, Any]:
    """Writes the slates of each step and those of validation, as serving renders them, and the recipe's config."""
    from genrec.artifacts.workspace import Workspace
    from genrec.settings import Settings
    from genrec.training.batches import Batches
    from genrec.training.evaluation import ndcg
    from genrec.training.job import Job, config_file, load_recipe
    from genrec.training.preparing import prepare as examples
    from genrec.training.slates import Slates

    steps = max(1, options.slates // options.batch)
    loop = {
        **{"steps": steps, "batch": options.batch, "curriculum": round(0.3 * steps), "max_minutes": "null"},
        **{"evaluate_every": steps, "save_every": steps, "validation_slates": options.validation},
    }
    given = (*(f"loop.{key}={value}" for key, value in loop.items()), *options.overrides)
    workspace = Workspace.open(options.workspace)
    flags = {"model": {"name": options.model}, "ranking": {"ranker": "pointwise"}}
    settings = Settings.load(workspace.settings_file, flags)
    recipe = "rank_lora"
    job = Job(recipe, workspace, settings, "bench", config_file(recipe, None), given, progress=report)
    config: Any = job.config(sys.modules[load_recipe(recipe).__module__].Config)
    slates = Slates(settings, config, config.augment)
    source, held, info = examples(
        workspace,
        settings,
        config.examples,
        language=slates.language,
        validation_slates=options.validation,
        seed=config.loop.seed,
        progress=report,
    )
    batches = Batches(source, slates.training, config.loop)
    held, validation = slates.validation(held)
    retrieved = [ndcg(np.array([one.score for one in example.candidates.items]), example.target) for example in held]
    data = {
        "config": config.model_dump(mode="json", exclude={"examples", "augment"}),
        "training": [[as_json(slate) for slate in batches.batch(step)] for step in range(config.loop.steps)],
        "validation": [as_json(slate) for slate in validation],
    }
    text = json.dumps(data)
    (work / FILE).write_text(text)
    users = [example.history.user_id for example in held]
    origin = {"data": info["data"], "template": slates.template.id, "template_hash": slates.template.hash}
    return {"users": users, "retriever": retrieved, "slates": hashlib.sha256(text.encode()).hexdigest(), **origin}


def apart(task: Callable[..., dict[str, Any]], work: Path, options: argparse.Namespace, bar: Any, name: str) -> Any:
    """What the task gives in a fresh process."""
    from genrec.cli.console import reporter

    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_send, args=(task, work, options, sender))
    process.start()
    sender.close()
    shown = reporter(bar)
    try:
        while isinstance(message := receiver.recv(), tuple):
            shown(f"{name}: {message[0]}", *message[1:])
    except EOFError:
        raise SystemExit(f"{name} ended early; look at the messages above") from None
    finally:
        process.join()
    return message


def _send(task: Callable[..., dict[str, Any]], work: Path, options: argparse.Namespace, connection: Any) -> None:
    import torch

    if options.threads:
        torch.set_num_threads(options.threads)
    connection.send(task(work, options, lambda *message: connection.send(message)))


def record(prepared: dict[str, Any], done: dict[str, dict[str, Any]], about: dict[str, Any]) -> dict[str, Any]:
    """What is reported, in the form of `genrec.reports.pages`."""
    from genrec.evaluation.runs import git_revision, versions
    from genrec.training.evaluation import interval

    def mean(name: str, values: Sequence[float]) -> dict[str, Any]:
        return {name: float(np.mean(values)), f"{name}_ci": list(interval(np.array(values), prepared["users"]))}

    systems = {}
    for name, found in done.items():
        seconds = np.array(found["seconds"])
        low, median, high = np.quantile(about["batch"] / seconds[min(WARM_UP, len(seconds) - 1) :], [0.25, 0.5, 0.75])
        systems[name] = {
            **{"slates_per_second": float(median), "slates_per_second_ci": [float(low), float(high)]},
            **{"peak_gib": found["peak_bytes"] / 2**30, "tokens_per_slate": found["tokens"]},
            **mean("ndcg@10", found["ndcg"]),
        }
    ours, theirs = systems["genrec"], systems["trl"]
    ratio = ours["slates_per_second"] / theirs["slates_per_second"]
    gain = mean("ndcg@10", np.subtract(done["genrec"]["ndcg"], done["trl"]["ndcg"]).tolist())
    low, high = gain["ndcg@10_ci"]
    gates = (
        (f"at least {FASTER:g} times the slates per second", ratio >= FASTER, f"{ratio:.2f} times"),
        ("NDCG@10 not worse", gain["ndcg@10"] >= 0, f"{gain['ndcg@10']:+.4f} ({low:+.4f} to {high:+.4f})"),
        (
            "peak of memory not higher",
            ours["peak_gib"] <= theirs["peak_gib"],
            f"{ours['peak_gib']:.2f} against {theirs['peak_gib']:.2f} GiB",
        ),
    )
    return {
        **{"id": prepared["slates"][:12], "kind": "bench_finetune", "created": f"{datetime.now(UTC):%Y-%m-%dT%H:%MZ}"},
        **{"split": "temporal", "users": len(prepared["users"]), "warnings": [], "definitions": DEFINITIONS},
        "systems": {
            **systems,
            "untuned": mean("ndcg@10", done["genrec"]["untuned"]),
            "retriever": mean("ndcg@10", prepared["retriever"]),
        },
        "headline": ["slates_per_second", "ndcg@10", "peak_gib"],
        "gates": [{"gate": gate, "passed": bool(passed), "found": found} for gate, passed, found in gates],
        **{"ratio": ratio, "ndcg_difference": gain, "rows": done["trl"]["rows"], "about": about},
        **{"versions": versions(), "git_revision": git_revision()},
    }


def main(arguments: Sequence[str] | None = None) -> None:
    from genrec.cli.console import progress
    from genrec.cli.files import write_json

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path, default=Path("workspace/demo"))
    parser.add_argument("--slates", type=int, default=160, help="slates that each side learns from")
    parser.add_argument("--validation", type=int, default=200, help="slates of other users at most")
    parser.add_argument("--batch", type=int, default=8, help="slates of an optimiser step")
    parser.add_argument(
        "--rows", type=int, default=0, help="rows of a micro-batch of trl at most; 0: as genrec's passes"
    )
    parser.add_argument("--threads", type=int, default=0, help="threads of each side; 0 leaves it to torch")
    parser.add_argument("--model", help="a known name or a local folder; the workspace's if not given")
    parser.add_argument("--state", type=Path, help="file that keeps finished sides, to resume an interrupted run")
    parser.add_argument("--json", help="write JSON here; '-' is stdout")
    parser.add_argument("--html", type=Path, help="write a page here")
    parser.add_argument("overrides", nargs="*", metavar="section.key=value", help="settings of the recipe")
    options = parser.parse_args(arguments)

    with tempfile.TemporaryDirectory() as folder, progress() as bar:
        work = Path(folder)
        prepared = apart(prepare, work, options, bar, "slates")
        about = {key: prepared[key] for key in ("data", "template", "slates")}
        about |= {"batch": options.batch, "threads": options.threads or os.cpu_count(), "rows": options.rows}
        kept = json.loads(options.state.read_text()) if options.state and options.state.is_file() else {}
        done = kept["done"] if kept.get("about") == about else {}
        for name, tune in SIDES.items():
            if name not in done:
                done[name] = apart(tune, work, options, bar, name)
                if options.state:
                    options.state.write_text(json.dumps({"about": about, "done": done}))
    found = record(prepared, done, about)
    show(found, to_stderr=options.json == "-")
    if options.json:
        write_json(found, options.json)
    if options.html:
        from genrec.reports.pages import page

        options.html.write_text(page(found), "utf-8")


def show(found: dict[str, Any], *, to_stderr: bool) -> None:
    from rich.table import Table

    from genrec.cli.console import console, out

    columns = ("slates_per_second", "peak_gib", "tokens_per_slate", "ndcg@10")
    table = Table("", *(column.replace("_", " ") for column in columns), title=f"{found['ratio']:.2f} times as fast")
    for name, row in found["systems"].items():
        ends = {column: row.get(f"{column}_ci") for column in columns}
        spans = {column: f" ({pair[0]:.4g} to {pair[1]:.4g})" if pair else "" for column, pair in ends.items()}
        table.add_row(name, *(f"{row[column]:.4g}{spans[column]}" if column in row else "" for column in columns))
    shown = console if to_stderr else out
    shown.print(table)
    for gate in found["gates"]:
        shown.print(f"{'holds' if gate['passed'] else 'fails'}: {gate['gate']}: {gate['found']}")


if __name__ == "__main__":
    main()
