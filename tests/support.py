"""What tests and fixtures share beside fixtures."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path


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
