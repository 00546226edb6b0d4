"""What a training leaves to look at: log.jsonl, TensorBoard, and other trackers by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from genrec.training.processes import Processes

FILE = "log.jsonl"


class Log:
    """Lines of `log.jsonl` and the trackers of a run that goes on at `step`; later entries of an earlier run go.

    `run` is the name that trackers show.
    """

    def __init__(self, folder: Path, processes: Processes, run: str, config: dict[str, Any], step: int) -> None:
        self._processes = processes
        self._file = folder / FILE
        if processes.first:
            folder.mkdir(parents=True, exist_ok=True)
            kept = [line for line in read(folder) if line["step"] <= step]
            self._file.write_text("".join(json.dumps(line) + "\n" for line in kept), "utf-8")
        processes.start_trackers(run, _flat(config), tensorboard={"purge_step": step + 1})

    def write(self, step: int, **values: float) -> None:
        """Values at a step, in the first process."""
        if self._processes.first:
            with self._file.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"step": step, **values}) + "\n")
            self._processes.log(values, step)

    def close(self) -> None:
        """Flushes the trackers."""
        self._processes.end_trackers()


def read(folder: Path) -> list[dict[str, float]]:
    """The lines of a run; a line that a kill cut short is left out."""
    file = folder / FILE
    if not file.is_file():
        return []
    lines = []
    for text in file.read_text("utf-8").splitlines():
        try:
            lines.append(json.loads(text))
        except ValueError:
            continue
    return lines


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as `section.key`, lists as text: what trackers take."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            flat |= _flat(value, f"{name}.")
        else:
            flat[name] = value if isinstance(value, bool | int | float | str) else str(value)
    return flat
