"""What `genrec finetune` gives to a recipe: workspace, settings, config, and where an interrupted run waits."""

from __future__ import annotations

import importlib.resources
import importlib.util
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TypeVar, cast

from filelock import FileLock, Timeout

from genrec.artifacts.workspace import Workspace
from genrec.errors import MissingExtraError, NotFoundError, SettingsError, WorkspaceError
from genrec.settings import Settings
from genrec.text.encoders import Progress
from genrec.training import checkpoints
from genrec.training.config import HeldOut, TrainConfig, load_config
from genrec.training.processes import Processes

Config = TypeVar("Config", bound=TrainConfig)


@dataclass(frozen=True)
class Job:
    """One call of a recipe. `file` and `overrides` make its config; `name` is that of the adapter."""

    recipe: str
    workspace: Workspace
    settings: Settings
    name: str
    file: Path
    overrides: tuple[str, ...] = ()
    held_out: HeldOut = "temporal"
    resume: bool = True
    progress: Progress | None = None

    @property
    def folder(self) -> Path:
        """Checkpoints and logs; the next call with the same settings goes on from there."""
        return self.workspace.root / "training" / self.name

    def config(self, kind: type[Config]) -> Config:
        """The config of the recipe; its model is that of the workspace's settings unless it names one."""
        config = load_config(kind, self.file, self.overrides)
        return config if config.model else config.model_copy(update={"model": self.settings.model.name})

    def start(self, config: TrainConfig) -> Processes:
        """The processes of the run, with its trackers; forgets an interrupted run if it is not to be resumed."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if int(os.environ.get("WORLD_SIZE", 1)) > config.loop.batch:
            raise SettingsError(
                "loop.batch has fewer slates than there are processes", "raise loop.batch, or start fewer processes"
            )
        processes = Processes(("tensorboard", *config.loop.trackers), self.folder)
        if not self.resume and processes.first:
            checkpoints.clear(self.folder)
        processes.wait()
        return processes

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Holds the name against other runs; WorkspaceError if one of them has it. The system frees it at the end.

        Of several processes of one run the first holds it for all.
        """
        if int(os.environ.get("RANK", 0)):
            yield
            return
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.folder.with_name(f".{self.name}.lock"), timeout=0)
        try:
            lock.acquire()
        except Timeout:
            raise WorkspaceError(
                f"another run makes {self.name!r} in this workspace", "wait for it, or choose another --name"
            ) from None
        try:
            yield
        finally:
            lock.release()


Recipe = Callable[[Job], Path]
"""`main` of a recipe: runs the job and returns the folder of what it made."""


@lru_cache(maxsize=1)
def shipped_folder() -> Path:
    """Where the recipes that ship lie: in the wheel, or in the source checkout."""
    installed = Path(str(importlib.resources.files("genrec"))) / "_assets" / "finetune"
    checkout = Path(__file__).resolve().parents[3] / "finetune"
    return installed if installed.is_dir() else checkout


def recipes(folder: Path | None = None) -> dict[str, Path]:
    """Files of the recipes by name."""
    return {file.stem: file for file in sorted((folder or shipped_folder()).glob("*.py"))}


def load_recipe(name: str) -> Recipe:
    """`main` of a recipe that ships, or of a file `*.py`. NotFoundError with the names that there are."""
    found = Path(name) if name.endswith(".py") else recipes().get(name)
    if found is None or not found.is_file():
        raise NotFoundError(f"there is no recipe {name!r}", f"choose one of: {', '.join(recipes())}; or give a file")
    spec = importlib.util.spec_from_file_location(f"genrec_recipe_{found.stem}", found)
    if spec is None or spec.loader is None:
        raise NotFoundError(f"{found} cannot be loaded", "give a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # pydantic looks the annotations of a config up there
    try:
        spec.loader.exec_module(module)
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"the recipe {found.stem} needs {error.name}, which is not installed", 'pip install "genrec[train]"'
        ) from error
    except ImportError as error:
        raise NotFoundError(f"{found}: {error}", "fix the recipe") from error
    except SyntaxError as error:
        raise NotFoundError(f"{found}, line {error.lineno}: {error.msg}", "fix the recipe") from error
    if not callable(getattr(module, "main", None)):
        raise NotFoundError(f"{found} has no function main(job)", "look at the recipes in finetune/")
    return cast(Recipe, module.main)


def config_file(recipe: str, given: Path | None) -> Path:
    """The config that was given (a path, or the name of one that ships), or the recipe's own."""
    if given is not None and given.is_file():
        return given
    folder = shipped_folder() / "configs"
    name = Path(recipe).stem if given is None else given.name.removesuffix(".yaml")
    file = folder / f"{name}.yaml"
    is_path = given is not None and given != Path(given.name)  # a mistyped one must not become a config that ships
    if is_path or not file.is_file():
        there = ", ".join(path.stem for path in sorted(folder.glob("*.yaml")))
        raise NotFoundError(f"there is no config {str(given or name)!r}", f"give a file, or one of: {there}")
    return file
