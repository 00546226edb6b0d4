"""How fast a slate is ranked: genrec's rankers against generating a list, in one run on one machine.

    python eval/bench_ranking.py --workspace W --json -

Every system ranks the same slates of 20 candidates for the same users with the same model:

    transformers, titles   generates a list of titles (greedy), which are then matched to the slate
    vLLM, JSON of ids      generates a JSON array of ids under structured output
    listwise               genrec: labels generated under the constraint
    single_pass            genrec: one pass, all labels read at one position
    pointwise              genrec: yes/no after each candidate behind the shared prefix

cold: nothing is in the prefix cache. warm: the same user was ranked before on other candidates. Each system runs in a
process of its own; with --state FILE an interrupted run goes on behind the last finished system.
The share of matrix multiplication is 2 * parameters of the blocks * computed tokens / time, over what torch.matmul
reaches on this machine in the same run.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

SLATE = 20
LISTED = SLATE
"""How many items the generating systems list: all of the slate, as the reading ones order all of it."""


@dataclass
class Measured:
    """One ranking."""

    seconds: float
    computed: int
    generated: int
    invalid: int


def slates(workspace: Path, count: int) -> list[tuple[Any, Any, Any]]:
    """(history, candidates, other candidates of the same user), the same for every system."""
    from genrec.domain import Candidates
    from genrec.pipeline.recommender import RecommendationRequest, Recommender
    from genrec.settings import Settings

    settings = Settings.load(workspace / "genrec.toml", {"retrieval": {"candidates": 2 * SLATE}})
    recommender = Recommender.open(workspace, settings, llm=False)
    users = recommender.store.interactions().user_ids
    chosen = np.random.default_rng(0).permutation(len(users))[:count]
    found = []
    for user in chosen:
        slate = recommender.slate(RecommendationRequest(user_id=str(users[user]), k=2 * SLATE))
        history, pool = slate.history, slate.candidates
        found.append((history, Candidates(pool.items[::2][:SLATE]), Candidates(pool.items[1::2][:SLATE])))
    return found


def genrec_ranker(name: str, work: list[tuple[Any, Any, Any]], warm: bool) -> Iterator[Measured]:
    """A ranker of genrec on vLLM in this process."""
    from genrec.llm.loading import load
    from genrec.ranking.base import RankingTask
    from genrec.ranking.loading import ranker_for
    from genrec.settings import Settings

    settings = Settings.load(None, {"ranking": {"ranker": name}})
    loop = asyncio.new_event_loop()
    model = loop.run_until_complete(load(settings.model))
    ranker = ranker_for(model, settings)
    k = LISTED if name == "listwise" else None

    def rank(history: Any, candidates: Any, salt: str) -> tuple[Any, float]:
        task = RankingTask(history, candidates, cache_salt=salt)
        start = time.perf_counter()
        ranking = loop.run_until_complete(ranker.rank(task, k))
        return ranking, time.perf_counter() - start

    rank(*work[0][:2], "warm-up")
    for number, (history, candidates, others) in enumerate(work):
        salt = f"cold-{number}"  # a salt of its own: not even the fixed text is shared with other users
        known = 0
        if warm:
            rank(history, others, salt)
            prompt = ranker.render(RankingTask(history, candidates))
            known = len(prompt.prefix) if prompt.suffixes else _shared(ranker, history, candidates, others)
        ranking, seconds = rank(history, candidates, salt)
        ids = [item.item_id for item in ranking.items]
        slate = {candidate.item.id for candidate in candidates.items}
        invalid = sum(item not in slate for item in ids) + len(ids) - len(set(ids))
        usage = ranking.usage
        yield Measured(seconds, usage.computed - known, usage.generated if name == "listwise" else 0, invalid)
    loop.run_until_complete(model.close())


def _shared(ranker: Any, history: Any, candidates: Any, others: Any, block: int = 32) -> int:
    """Tokens that two listwise prompts of the same user share, in whole blocks."""
    from genrec.ranking.base import RankingTask

    one = ranker.render(RankingTask(history, candidates)).prefix
    other = ranker.render(RankingTask(history, others)).prefix
    same = next((place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), len(one))
    return same // block * block


def _list_prompt(history: Any, candidates: Any, what: str) -> list[dict[str, str]]:
    seen = "\n".join(f"- {entry.item.title}" for entry in history.entries[-20:])
    slate = "\n".join(f"{candidate.item.id}: {candidate.item.title}" for candidate in candidates.items)
    text = f"I have enjoyed these, oldest first:\n{seen}\n\nCandidates:\n{slate}\n\n{what}"
    return [{"role": "user", "content": text}]


def transformers_titles(work: list[tuple[Any, Any, Any]], warm: bool) -> Iterator[Measured]:
    """Greedy generation of a numbered list of titles."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from genrec.artifacts.models import resolve

    folder = resolve("smollm2-135m")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    what = f"List the titles of the {LISTED} candidates that I will most likely pick next, best first, one a line."
    for history, candidates, _ in work:
        start = time.perf_counter()
        prompt = tokenizer.apply_chat_template(
            _list_prompt(history, candidates, what), add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        with torch.inference_mode():
            out = model.generate(**prompt, max_new_tokens=LISTED * 14, do_sample=False, pad_token_id=2)
        new = out[0, prompt["input_ids"].shape[1] :]
        lines = [line.strip(" -.0123456789:") for line in tokenizer.decode(new, skip_special_tokens=True).splitlines()]
        titles = {candidate.item.title for candidate in candidates.items}
        named = [line for line in lines if line in titles]
        invalid = max(LISTED - len(set(named)), 0)
        yield Measured(time.perf_counter() - start, prompt["input_ids"].shape[1], len(new), invalid)


def vllm_json(work: list[tuple[Any, Any, Any]], warm: bool) -> Iterator[Measured]:
    """A JSON array of ids, each one of the slate's, by vLLM's structured output."""
    from genrec.llm import hardware
    from genrec.llm.engines.vllm import engine_arguments, set_environment
    from genrec.settings import ModelSettings

    set_environment(hardware.device(), offline=True)
    from vllm import LLM, SamplingParams
    from vllm.sampling_params import StructuredOutputsParams

    engine = LLM(**{**engine_arguments(ModelSettings(), hardware.device()), "logits_processors": None})
    what = (
        f"Answer with a JSON array of the ids of the {LISTED} candidates that I will most likely pick next, best first."
    )

    def rank(history: Any, candidates: Any, salt: str) -> tuple[Any, float]:
        ids = [candidate.item.id for candidate in candidates.items]
        schema = {"type": "array", "items": {"enum": ids}, "minItems": LISTED, "maxItems": LISTED}
        sampling = SamplingParams(
            max_tokens=LISTED * 12, temperature=0, structured_outputs=StructuredOutputsParams(json=schema)
        )
        text = engine.get_tokenizer().apply_chat_template(
            _list_prompt(history, candidates, what), add_generation_prompt=True, tokenize=False
        )
        tokens = engine.get_tokenizer().encode(text, add_special_tokens=False)
        start = time.perf_counter()
        out = engine.generate({"prompt_token_ids": tokens, "cache_salt": salt}, sampling, use_tqdm=False)[0]
        return out, time.perf_counter() - start

    rank(*work[0][:2], "warm-up")
    for number, (history, candidates, others) in enumerate(work):
        if warm:
            rank(history, others, f"{number}")
        out, seconds = rank(history, candidates, f"{number}")
        try:
            ids = json.loads(out.outputs[0].text)
        except ValueError:
            ids = []
        slate = {candidate.item.id for candidate in candidates.items}
        invalid = LISTED - len({item for item in ids if item in slate})
        computed = len(out.prompt_token_ids) - (out.num_cached_tokens or 0)
        yield Measured(seconds, computed, len(out.outputs[0].token_ids), invalid)


SYSTEMS: dict[str, Callable[[list[tuple[Any, Any, Any]], bool], Iterator[Measured]]] = {
    "transformers, titles": transformers_titles,
    "vLLM, JSON of ids": vllm_json,
    "listwise": lambda work, warm: genrec_ranker("listwise", work, warm),
    "single_pass": lambda work, warm: genrec_ranker("single_pass", work, warm),
    "pointwise": lambda work, warm: genrec_ranker("pointwise", work, warm),
}


def matmul_speed() -> float:
    """GFLOP/s that torch.matmul reaches on the shapes of a transformer block in float32, the best of several."""
    import torch

    rows, width, inner = 1024, 576, 1536
    a, b = torch.rand(rows, width), torch.rand(width, inner)
    best = 0.0
    for _ in range(10):
        start = time.perf_counter()
        for _ in range(20):
            torch.matmul(a, b)
        best = max(best, 20 * 2 * rows * width * inner / (time.perf_counter() - start) / 1e9)
    return best


def block_parameters() -> int:
    """Parameters that every computed token is multiplied with: all but the embedding."""
    from safetensors import safe_open

    from genrec.artifacts.models import resolve

    total = 0
    for file in resolve("smollm2-135m").glob("*.safetensors"):
        with safe_open(file, "np") as tensors:
            total += sum(
                int(np.prod(tensors.get_slice(name).get_shape()))
                for name in tensors.keys()  # noqa: SIM118  (it cannot be iterated)
                if "embed_tokens" not in name and "lm_head" not in name
            )
    return total


def run_system(system: str, warm: bool, workspace: Path, count: int, connection: Any) -> None:
    """In a process of its own: sends each measurement, then None."""
    for measured in SYSTEMS[system](slates(workspace, count), warm):
        connection.send(asdict(measured))
    connection.send(None)


def measure(system: str, warm: bool, workspace: Path, count: int, progress: Any) -> list[dict[str, float]]:
    """All requests of one system."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=run_system, args=(system, warm, workspace, count, sender))
    process.start()
    sender.close()
    task = progress.add_task(f"{system}{', warm' if warm else ''}", total=count)
    found = []
    try:
        while (row := receiver.recv()) is not None:
            found.append(row)
            progress.advance(task)
    except EOFError:
        raise SystemExit(f"{system} ended early; look at the messages above") from None
    finally:
        process.join() if len(found) == count else process.terminate()
    return found


def summary(rows: list[dict[str, float]], matmul: float, parameters: int) -> dict[str, float]:
    """Figures of one system."""
    seconds = np.array([row["seconds"] for row in rows])
    computed = np.array([row["computed"] for row in rows])
    generated = np.array([row["generated"] for row in rows])
    return {
        "median_s": float(np.median(seconds)),
        "p95_s": float(np.quantile(seconds, 0.95)),
        "requests_per_s": float(len(seconds) / seconds.sum()),
        "tokens_computed": float((computed + generated).mean()),
        "invalid": int(sum(row["invalid"] for row in rows)),
        "share_of_matmul": float(2 * parameters * (computed + generated).sum() / seconds.sum() / 1e9 / matmul),
    }


def main() -> None:
    from rich.table import Table

    from genrec.artifacts.workspace import Workspace
    from genrec.cli.console import console, out, progress
    from genrec.cli.files import write_json

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path, default=Path("workspace/demo"))
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--systems", nargs="+", choices=list(SYSTEMS), default=list(SYSTEMS))
    parser.add_argument("--state", type=Path, help="file that keeps finished systems, to resume an interrupted run")
    parser.add_argument("--json", help="write JSON here; '-' is stdout")
    arguments = parser.parse_args()

    identity = f"{Workspace.open(arguments.workspace).version()} {arguments.requests}"
    kept = json.loads(arguments.state.read_text()) if arguments.state and arguments.state.is_file() else {}
    done: dict[str, list[dict[str, float]]] = kept.get("done", {}) if kept.get("identity") == identity else {}
    with progress() as bar:
        for system in arguments.systems:
            for warm in (False,) if system.startswith("transformers") else (False, True):
                name = f"{system}, warm" if warm else system
                if len(done.get(name, ())) != arguments.requests:
                    done[name] = measure(system, warm, arguments.workspace, arguments.requests, bar)
                    if arguments.state:
                        arguments.state.write_text(json.dumps({"identity": identity, "done": done}))
    matmul, parameters = matmul_speed(), block_parameters()
    figures = {name: summary(rows, matmul, parameters) for name, rows in done.items()}
    for figure in figures.values():
        for baseline, key in (("transformers, titles", "times_titles"), ("vLLM, JSON of ids", "times_json")):
            if baseline in figures:
                figure[key] = figures[baseline]["median_s"] / figure["median_s"]
    table = Table(title=f"{arguments.requests} requests of {SLATE} candidates, matmul {matmul:.0f} GFLOP/s")
    for column in ("system", *next(iter(figures.values()))):
        table.add_column(column, justify="left" if column == "system" else "right")
    for name, figure in figures.items():
        table.add_row(name, *(f"{value:.3g}" for value in figure.values()))
    (console if arguments.json == "-" else out).print(table)
    if arguments.json:
        write_json({"systems": figures, "requests": arguments.requests, "matmul_gflops": matmul}, arguments.json)


if __name__ == "__main__":
    sys.exit(main())
