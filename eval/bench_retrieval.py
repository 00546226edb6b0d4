"""How long retrieval takes to fit and to answer, and how both grow when the log does.

    python eval/bench_retrieval.py                         # a synthetic log of 440,000 events
    python eval/bench_retrieval.py --workspace W --json -  # the log of a workspace
    python eval/bench_retrieval.py --retrievers ials --workspace W --scale 1

The log is measured as it is and with every user replicated `--scale` times, in the same process. Hyper-parameters are
fixed; texts are encoded before. On a machine that does other work too, look at processor time (`cpu`).
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from genrec.artifacts.workspace import Workspace
from genrec.cli.console import console, out
from genrec.cli.files import write_json
from genrec.data.interactions import Interactions
from genrec.data.sqlite.store import SqliteStore
from genrec.domain import History, HistoryEntry, Item
from genrec.filtering.base import FilterContext, Filters
from genrec.retrieval.hybrid import HybridRetriever
from genrec.retrieval.tuning import fit_hybrid
from genrec.settings import Settings
from genrec.text.encoders import CachedEncoder, Encoder, HashingEncoder, item_text, load_encoder

GENRES = ("action", "comedy", "drama", "puzzle", "racing", "sports", "strategy", "thriller")


def synthetic(users: int, items: int, events: int, seed: int = 0) -> tuple[Interactions, list[Item]]:
    """Users stay around one place of the catalogue; popularity within it falls like 1 / rank."""
    random = np.random.default_rng(seed)
    user = np.sort(random.integers(0, users, events))
    place = random.integers(0, items, users)[user]
    step = np.floor(np.exp(random.uniform(0, np.log(items), events))).astype(np.int64) - 1
    catalogue = [
        Item(str(number), f"{GENRES[number % 8]} title {number}", {"genre": GENRES[number * 7919 % 8]})
        for number in range(items)
    ]
    ids = np.array([item.id for item in catalogue], dtype=object)
    names = np.arange(users).astype(str).astype(object)
    timestamps = 1.5e9 + np.sort(random.uniform(0, 3.15e7, events))[random.permutation(events)]
    return Interactions.from_columns(names, ids, user, (place + step) % items, timestamps), catalogue


def replicated(log: Interactions, times: int) -> Interactions:
    """The same log with every user there `times` times."""
    names = np.array([f"{user}/{copy}" for copy in range(times) for user in log.user_ids], dtype=object)
    user = np.concatenate([log.user + copy * log.n_users for copy in range(times)])
    columns = (np.tile(column, times) for column in (log.item, log.timestamp, log.value))
    return Interactions.from_columns(names, log.item_ids, user, *columns)


def latencies_ms(blend: HybridRetriever, log: Interactions, items: Sequence[Item], queries: int, k: int) -> np.ndarray:
    """Wall and processor time [queries, 2] of `candidates` for users drawn with a fixed seed."""
    by_id = {item.id: item for item in items}
    active = np.flatnonzero(np.diff(log.indptr))
    taken = []
    for user in np.random.default_rng(0).choice(active, queries):
        rows = log.rows_of(int(user))
        entries = zip(log.item[rows], log.timestamp[rows], strict=True)
        history = History(None, tuple(HistoryEntry(items[item], float(when)) for item, when in entries))
        wall, cpu = time.perf_counter(), time.process_time()
        blend.candidates(
            history,
            k,
            now=blend.newest,
            items=lambda ids: [by_id[item_id] for item_id in ids],
            filters=Filters.of(FilterContext(history, blend.newest)),
        )
        taken.append((time.perf_counter() - wall, time.process_time() - cpu))
    return np.array(taken) * 1e3


def measure(
    log: Interactions, items: Sequence[Item], settings: Settings, encoder: Encoder, args: Any
) -> dict[str, Any]:
    """One column of the table."""
    wall, cpu = time.perf_counter(), time.process_time()
    blend = fit_hybrid(log, items, settings=settings, encoder=encoder, tune=False)
    fitted, used = time.perf_counter(), time.process_time()
    p50, p99 = np.percentile(latencies_ms(blend, log, items, args.queries, args.k), [50, 99], axis=0)
    return {
        "events": len(log),
        "users": log.n_users,
        "items": log.n_items,
        "fit_s": fitted - wall,
        "fit_cpu_s": used - cpu,
        "p50_ms": float(p50[0]),
        "p99_ms": float(p99[0]),
        "p99_cpu_ms": float(p99[1]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path, help="take log and encoder from here instead of a synthetic log")
    parser.add_argument("--retrievers", help="names with commas between, in place of those of the settings")
    parser.add_argument("--users", type=int, default=44_000)
    parser.add_argument("--items", type=int, default=17_000)
    parser.add_argument("--events", type=int, default=440_000)
    parser.add_argument("--scale", type=int, default=10, help="how many times every user is replicated")
    parser.add_argument("--queries", type=int, default=1_000)
    parser.add_argument("--k", type=int, default=100)
    parser.add_argument("--json", metavar="FILE", help="write the figures as JSON; - for stdout")
    args = parser.parse_args()

    if args.workspace:
        workspace = Workspace.open(args.workspace)
        settings = Settings.load(workspace.settings_file)
        with closing(SqliteStore(workspace.database)) as store:
            log, items = store.interactions(), list(store.all_items())
        encoder = CachedEncoder(load_encoder(settings.encoder), workspace.root / "cache")
    else:
        settings = Settings()
        log, items = synthetic(args.users, args.items, args.events)
        encoder = CachedEncoder(HashingEncoder())

    if args.retrievers:
        retrieval = settings.retrieval.model_copy(update={"retrievers": tuple(args.retrievers.split(","))})
        settings = settings.model_copy(update={"retrieval": retrieval})

    started = time.perf_counter()
    encoder.encode([item_text(item) for item in items])
    console.print(f"encoded {len(items):,} texts in {time.perf_counter() - started:.1f} s")
    warm_up = argparse.Namespace(queries=20, k=args.k)
    measure(log.select(log.user < 1_000), items, settings, encoder, warm_up)  # libraries start their threads once

    rows = [measure(log, items, settings, encoder, args)]
    console.print(f"measured {len(log):,} events; now {args.scale} times as many")
    rows.append(measure(replicated(log, args.scale), items, settings, encoder, args))
    ratios = {key: rows[1][key] / rows[0][key] for key in rows[0]}

    if args.json:
        figures = {"k": args.k, "queries": args.queries, "cores": os.cpu_count(), "load": os.getloadavg()[0]}
        write_json({**figures, "runs": rows, "ratios": ratios}, args.json)
    if args.json != "-":
        table = Table("", "log", f"log x {args.scale}", "ratio", title=f"Retrieval, top {args.k} of a blend")
        for key in rows[0]:
            first, second = (f"{row[key]:,}" if isinstance(row[key], int) else f"{row[key]:.2f}" for row in rows)
            table.add_row(key, first, second, f"{ratios[key]:.2f}")
        out.print(table)


if __name__ == "__main__":
    main()
