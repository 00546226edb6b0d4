"""Tab-separated files that a suite names: texts of users and lists of other tools, read strictly."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from genrec.data.sources.base import BadRows
from genrec.errors import DataError

USER, ITEM = ("user", "user_id"), ("item", "item_id")


def read_rows(
    file: Path, columns: Sequence[Sequence[str]], hint: str, problem: Callable[[list[str], list[str]], str | None]
) -> tuple[list[str], list[list[str]]]:
    """The header and the rows of a UTF-8 file; `columns` has the names that each column may have.

    `problem` says of header and cells what is wrong with them. DataError with file, lines and the hint.
    """
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            # Not splitlines: cells may hold what Unicode counts as the end of a line.
            lines = [line.rstrip("\r").split("\t") for line in stream.read().split("\n")]
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}", hint) from None
    except UnicodeDecodeError:
        raise DataError(f"{file} is not UTF-8 text", hint) from None
    header, n = lines[0], len(columns)
    if len(header) != n or any(name not in known for name, known in zip(header, columns, strict=True)):
        *first, last = [" or ".join(known) if known[0] in ("rank", "score") else known[0] for known in columns]
        named = f"{', '.join(first)}{',' if len(first) > 1 else ''} and {last}"
        raise DataError(f"{file}, line 1: the header must name {named}", hint)
    bad, rows = BadRows(), []
    for number, cells in enumerate(lines[1:], start=2):
        if cells == [""]:
            continue
        wrong = f"{n} columns expected, {len(cells)} found" if len(cells) != n else problem(header, cells)
        if wrong is None:
            rows.append(cells)
        else:
            bad.add(f"{file.name}, line {number}", wrong)
    if bad.count:
        raise DataError(f"{file} has {bad.describe()}", hint)
    return header, rows


def read_of_users(file: Path, what: str, hint: str, *, old: str | None = None) -> dict[str, str]:
    """What a file with the columns user and `what` says of each user, one line a user. DataError with file and line.

    `old` is a name that the second column had before.
    """
    said: dict[str, str] = {}

    def problem(header: list[str], cells: list[str]) -> str | None:
        user, text = cells[0], cells[1].strip()
        if not user or not text:
            return f"user and {what} must not be empty"
        if user in said:
            return f"this user has a {what} already"
        said[user] = text
        return None

    read_rows(file, (USER, (what,) if old is None else (what, old)), hint, problem)
    return said
