"""How retrievers keep their arrays: one safetensors file for the numbers, one JSON file for the rest."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from genrec.errors import WorkspaceError

Arrays = dict[str, npt.NDArray[Any]]


def write_tensors(folder: Path, arrays: Mapping[str, npt.NDArray[Any]], settings: Mapping[str, Any]) -> None:
    """Writes `arrays.safetensors` and `settings.json` into the folder, which is made if needed."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, folder / "arrays.safetensors")
    (folder / "settings.json").write_text(json.dumps(settings, indent=1), "utf-8")


def read_tensors(folder: Path) -> tuple[Arrays, dict[str, Any]]:
    """Reads what `write_tensors` wrote; WorkspaceError if a file is missing or broken."""
    try:
        return load_file(folder / "arrays.safetensors"), json.loads((folder / "settings.json").read_text("utf-8"))
    except (OSError, ValueError, SafetensorError) as error:
        raise WorkspaceError(
            f"the index in {folder} cannot be read: {type(error).__name__}", "build it again: genrec fit"
        ) from error
