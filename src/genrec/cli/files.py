"""Files that a command is told to write: looked at before its work starts, so that nothing is done in vain."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, TypeVar

from genrec.errors import GenrecError

_Target = TypeVar("_Target", str, Path, None)
_HINT = "name a file in a folder that exists and can be written"


def writable(target: _Target) -> _Target:
    """The target of an option as it is, for typer's `callback`. GenrecError if no file can be written there."""
    if target is not None and str(target) != "-":
        file = Path(target)
        if file.is_dir():
            raise GenrecError(f"{file} is a folder", _HINT)
        if not file.absolute().parent.is_dir():
            raise GenrecError(f"{file} cannot be written: there is no folder {file.parent}", _HINT)
        if not os.access(file if file.exists() else file.absolute().parent, os.W_OK):
            raise GenrecError(f"{file} cannot be written: permission denied", _HINT)
    return target


def write_text(text: str, file: Path) -> None:
    """Writes a file in UTF-8. GenrecError if that fails."""
    try:
        file.write_text(text, "utf-8")
    except OSError as error:
        raise GenrecError(f"{file} cannot be written: {error.strerror}", _HINT) from None


def write_json(data: Any, target: str) -> None:
    """Writes JSON to a file, or to stdout for '-'. GenrecError if that fails."""
    text = json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    if target == "-":
        sys.stdout.write(text)
    else:
        write_text(text, Path(target))
