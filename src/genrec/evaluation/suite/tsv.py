"""Tab-separated files that a suite names: text of users and other tools, read strictly."""

from __future__ import annotations

from pathlib import Path

from genrec.errors import DataError


def read_lines(file: Path, hint: str) -> list[str]:
    """The lines of a UTF-8 file. DataError with the hint if it cannot be read."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            # Not splitlines: cells may hold what Unicode counts as the end of a line.
            return [line.rstrip("\r") for line in stream.read().split("\n")]
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}", hint) from None
    except UnicodeDecodeError:
        raise DataError(f"{file} is not UTF-8 text", hint) from None
