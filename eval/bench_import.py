"""How fast a Parquet log is imported, and how much memory it takes, at a tenth of the size and at the whole size.

    python eval/bench_import.py --rows 20000000 --json -

The log is synthetic: as many users and items as MovieLens-20M, popularity skewed. Each size is imported in a process of
its own, so that its peak memory is its own; the smaller one is the baseline.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rich.table import Table

from genrec.artifacts.workspace import Workspace
from genrec.cli.console import console, out
from genrec.cli.files import write_json
from genrec.data.importer import import_source
from genrec.data.sources.tables import Tables

USERS, ITEMS, LOT = 138_493, 27_278, 1_000_000


def write_log(path: Path, rows: int) -> None:
    """A log of ratings between 1995 and 2015, in lots that fit into memory."""
    random = np.random.default_rng(0)
    kinds = [("user_id", pa.string()), ("item_id", pa.string()), ("timestamp", pa.int64()), ("rating", pa.float64())]
    with pq.ParquetWriter(path, pa.schema(kinds)) as writer:
        for start in range(0, rows, LOT):
            size = min(LOT, rows - start)
            columns = {
                "user_id": np.char.add("u", random.integers(0, USERS, size).astype(str)),
                "item_id": np.char.add("i", (random.random(size) ** 3 * ITEMS).astype(int).astype(str)),
                "timestamp": random.integers(789_652_009, 1_427_784_002, size),
                "rating": random.integers(1, 11, size) / 2,
            }
            writer.write_table(pa.table(columns, schema=pa.schema(kinds)))


def import_log(path: Path, folder: Path) -> dict[str, float]:
    """Imports in this process, which should be a fresh one."""
    wall, cpu = time.perf_counter(), time.process_time()
    report = import_source(Tables(path), Workspace.create(folder))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "rows": report.events,
        "rows_per_s": report.events / wall,
        "rows_per_cpu_s": report.events / cpu,
        "peak_mib": peak,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=20_000_000)
    parser.add_argument("--json", help="write JSON here; '-' is stdout")
    arguments = parser.parse_args()
    runs = []
    for rows in (arguments.rows // 10, arguments.rows):
        with tempfile.TemporaryDirectory() as folder, multiprocessing.get_context("spawn").Pool(1) as pool:
            path = Path(folder) / "log.parquet"
            with console.status(f"writing and importing {rows:,} rows"):
                write_log(path, rows)
                runs.append(pool.apply(import_log, (path, Path(folder) / "workspace")))
    ratios = {name: runs[1][name] / runs[0][name] for name in runs[0]}
    table = Table("", "a tenth", "whole", "ratio", title="Import of a Parquet log")
    for name in ratios:
        table.add_row(name, f"{runs[0][name]:,.0f}", f"{runs[1][name]:,.0f}", f"{ratios[name]:.2f}")
    (console if arguments.json == "-" else out).print(table)
    if arguments.json:
        write_json({"runs": runs, "ratios": ratios}, arguments.json)


if __name__ == "__main__":
    main()
