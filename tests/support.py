"""What tests and fixtures share beside fixtures."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx


@dataclass(frozen=True)
class Served:
    """A running `genrec serve`."""

    base: str
    key: str
    workspace: Path
    process: subprocess.Popen[bytes]
    log: Path


def genrec(arguments: list[str], check: bool = True) -> subprocess.CompletedProcess[str]:
    """Runs the command line in a process of its own."""
    command = [sys.executable, "-m", "genrec.cli.main", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert not check or done.returncode == 0, done.stderr
    return done


@contextmanager
def serving(folder: Path, *arguments: str, log: Path, key: str = "") -> Iterator[Served]:
    """`genrec serve` on a free port until the block ends; without a key if none is given."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "genrec.cli.main", "serve", "--workspace", str(folder), "--port", str(port)]
    environment = {**os.environ, "COLUMNS": "400", **({"GENREC_SERVING__API_KEY": key} if key else {})}
    with log.open("wb") as file:
        process = subprocess.Popen([*command, *arguments], stdout=file, stderr=subprocess.STDOUT, env=environment)
    base = f"http://127.0.0.1:{port}"
    try:
        while True:
            assert process.poll() is None, log.read_text("utf-8")[-4000:]
            try:
                if httpx.get(f"{base}/health", timeout=5).status_code == 200:
                    break
            except httpx.TransportError:
                time.sleep(0.3)
        yield Served(base, key, folder, process, log)
    finally:
        process.terminate()
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
