"""One process or several (accelerate): who we are, and sums over all of us."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator  # type: ignore[import-untyped]
from accelerate.utils import ProjectConfiguration  # type: ignore[import-untyped]
from torch import Tensor

from genrec.errors import MissingExtraError, SettingsError
from genrec.llm import hardware


class Processes:
    """What a training asks of accelerate. Started with `accelerate launch` or `torchrun` there are several, else one.

    On CPUs they speak through gloo. `trackers` are names that accelerate knows; their files go below `folder`.
    SettingsError for one that it does not know or that is not installed, MissingExtraError for tensorboard.
    """

    def __init__(self, trackers: Sequence[str] = (), folder: Path | None = None) -> None:
        project = None if folder is None else ProjectConfiguration(logging_dir=str(folder))
        try:
            self._accelerator = Accelerator(
                cpu=hardware.device() == "cpu", log_with=list(trackers) or None, project_config=project
            )
        except ValueError as error:
            raise _bad_tracker("accelerate does not know a tracker of loop.trackers") from error
        # accelerate leaves out what is not installed without a word.
        missing = set(trackers) - {str(tracker) for tracker in self._accelerator.log_with}
        if missing == {"tensorboard"}:
            raise MissingExtraError("tensorboard is not installed", 'pip install "genrec[train]"')
        if missing:
            raise _bad_tracker(f"not installed: {', '.join(sorted(missing))}")
        self.index: int = self._accelerator.process_index
        self.count: int = self._accelerator.num_processes
        self.device: torch.device = self._accelerator.device

    @property
    def first(self) -> bool:
        """Whether this is the process that writes files."""
        return self.index == 0

    def sum(self, values: Tensor) -> Tensor:
        """Sum of equal-shaped tensors over all processes, in each of them."""
        return values if self.count == 1 else self._accelerator.reduce(values, reduction="sum")

    def agreed(self, value: float) -> float:
        """The value that the first process has, in each of them."""
        if self.count == 1:
            return value
        own = torch.tensor([value if self.first else 0.0], dtype=torch.float64, device=self.device)
        return float(self.sum(own).item())

    def wait(self) -> None:
        """Returns when all processes are here."""
        self._accelerator.wait_for_everyone()

    def start_trackers(self, run: str, config: dict[str, Any], **options: Any) -> None:
        """Opens the trackers for a run; `options` by the name of the tracker."""
        self._accelerator.trackers = []
        try:
            self._accelerator.init_trackers(run, config=config, init_kwargs=options)
        except Exception as error:  # trackers raise errors of their own libraries
            raise _bad_tracker(f"a tracker of loop.trackers cannot start ({type(error).__name__})") from error

    def log(self, values: dict[str, float], step: int) -> None:
        """Values at a step, to every tracker."""
        self._accelerator.log(values, step=step)

    def end_trackers(self) -> None:
        """Flushes and closes the trackers."""
        # Not end_training: it parts the processes as well, and they have more to do.
        for tracker in self._accelerator.trackers:
            tracker.finish()

    def end(self) -> None:
        """Waits for all and parts them: the last call."""
        self.wait()
        if self.count > 1:
            torch.distributed.destroy_process_group()


def _bad_tracker(what: str) -> SettingsError:
    return SettingsError(what, "name trackers that are installed and signed in, such as wandb or mlflow, or none")
