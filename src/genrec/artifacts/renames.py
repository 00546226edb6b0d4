"""Old names of what people write in files, bodies and calls: accepted with a warning until genrec 0.3."""

from __future__ import annotations

import logging
import warnings
from typing import Any

said: set[tuple[str, str, str]] = set()


def current_name(data: Any, old: str, new: str, where: str) -> Any:
    """`data` with the key `new` in place of `old`; the log says so once for each `where`. ValueError where both are."""
    if not isinstance(data, dict) or old not in data:
        return data
    if new in data:
        raise ValueError(f"'{old}' is the old name of '{new}': give one of them")
    if (old, new, where) not in said:
        said.add((old, new, where))
        logging.getLogger("genrec").warning("%s: '%s' is now called '%s'; the old name ends with 0.3", where, old, new)
    return {new if key == old else key: value for key, value in data.items()}


def current_argument(options: dict[str, Any], old: str, new: str) -> dict[str, Any]:
    """As `current_name`, for arguments of Python: warns the caller of what took them. TypeError where both are."""
    if old not in options:
        return options
    if new in options:
        raise TypeError(f"{old} is the old name of {new}: give one of them")
    warnings.warn(f"{old} is now called {new}; the old name ends with 0.3", DeprecationWarning, stacklevel=4)
    return {new if key == old else key: value for key, value in options.items()}
