"""Tab-separated files that a suite names: text of users and other tools, read strictly."""

from __future__ import annotations

from pathlib import Path

from genrec.artifacts.renames import current_name
from genrec.data.sources.base import BadRows
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


def read_of_users(file: Path, what: str, hint: str, *, old: str = "") -> dict[str, str]:
    """What a file with the columns user and `what` says of each user, one line a user. DataError with file and line.

    `old` is a name that the column had before.
    """
    lines = read_lines(file, hint)
    header = [*current_name(dict.fromkeys(lines[0].split("\t")), old, what, "a file of users")]
    if header not in (["user", what], ["user_id", what]):
        raise DataError(f"{file}, line 1: the header must name user and {what}", hint)
    bad, said = BadRows(), dict[str, str]()
    for number, line in enumerate(lines[1:], start=2):
        if not line:
            continue
        user, *rest = line.split("\t")
        problem = None
        if len(rest) != 1:
            problem = f"2 columns expected, {len(rest) + 1} found"
        elif not user or not rest[0].strip():
            problem = f"user and {what} must not be empty"
        elif user in said:
            problem = f"this user has a {what} already"
        if problem is not None:
            bad.add(f"{file.name}, line {number}", problem)
            continue
        said[user] = rest[0].strip()
    if bad.count:
        raise DataError(f"{file} has {bad.describe()}", hint)
    return said
