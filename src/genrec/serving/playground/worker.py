"""The process in which templates from a page are compiled and rendered: few rights, little memory, a time limit.

The sandbox of Jinja keeps a template from reaching Python, but not from counting to a million a million times, nor from
asking for a text of a gigabyte while it is compiled. `python -m genrec.serving.playground.worker` reads calls and
writes replies, one a line; who started it ends it when it does not answer.
"""

from __future__ import annotations

import difflib
import os
import re
import resource
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from genrec.errors import GenrecError
from genrec.prompting.library import TemplateLibrary, read_text
from genrec.prompting.lint import Finding, lint
from genrec.prompting.tokenizer import ChatTokenizer, load_tokenizer
from genrec.serving.playground.calls import Call, Line, Reply
from genrec.serving.playground.overlay import overlaid, relative
from genrec.serving.playground.rendering import rendered

MEMORY = 3 << 30
"""Bytes of address space, most of which libraries reserve and never touch."""
WORN = 1 << 30
"""Bytes in use at some time after which the process ends, as what a template leaves in caches stays there."""
FILE = 1 << 22
"""Bytes of the largest file that can be written."""
AFTERWARDS = 0.1
"""Seconds between further interruptions once the time is up, for checks that render one case after another."""
_PLACE = re.compile(r"(?P<path>[^:\n]+):(?P<line>\d+): (?P<message>.*)", re.DOTALL)


class TimeLimitError(Exception):
    """The time of a call is up."""


def answer(call: Call) -> Reply:
    """Does the work; whatever a template or its inputs may cause becomes a finding."""
    try:
        with overlaid(call.folder, call.template, call.source) as library:
            path = library.path(call.template)
            try:
                with _time_limit(call.seconds):
                    return _work(call, library)
            except GenrecError as error:
                return Reply(findings=tuple(_lines(error, path, library, call.seconds)))
            except TimeLimitError:
                return _failed(path, library, f"takes longer than {call.seconds:g} s", "make loops shorter")
            except (MemoryError, RecursionError) as error:
                return _failed(
                    path, library, f"cannot be computed: {type(error).__name__}", "make the template simpler"
                )
    except GenrecError as error:
        return Reply(findings=(Line(path=call.template, line=1, own=True, code="error", message=error.message),))


def _work(call: Call, library: TemplateLibrary) -> Reply:
    if call.kind == "diff":
        return Reply(diff=_diff(call, library))
    tokenizer = None if call.tokenizer is None else _tokenizer(call.tokenizer)
    if call.kind == "lint":
        own = library.path(call.template)
        found = lint(library, call.template, tokenizer, "skip")
        return Reply(findings=tuple(_line(finding, own, library, call.seconds) for finding in found))
    return Reply(prompt=rendered(call, library, tokenizer))


def _diff(call: Call, library: TemplateLibrary) -> str:
    edited = read_text(library.path(call.template))
    stored = read_text(TemplateLibrary(call.folder).path(call.template))
    name = f"{call.template}.prompt"
    lines = difflib.unified_diff(
        stored.splitlines(keepends=True), edited.splitlines(keepends=True), f"a/{name}", f"b/{name}"
    )
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


@lru_cache(maxsize=2)
def _tokenizer(folder: Path) -> ChatTokenizer:
    return load_tokenizer(folder)


def _lines(error: GenrecError, path: Path, library: TemplateLibrary, seconds: float) -> Iterator[Line]:
    """An error that names places as one finding for each of them; at line 1 where it names none."""
    for text in re.split(r"\n(?=[^\n:]+:\d+: )", error.message):
        match = _PLACE.fullmatch(text)
        place, line, message = (Path(match["path"]), int(match["line"]), match["message"]) if match else (path, 1, text)
        yield _line(Finding(place, line, "error", message, error.hint), path, library, seconds)


def _line(finding: Finding, own: Path, library: TemplateLibrary, seconds: float) -> Line:
    message = relative(finding.message, library)
    message = message.replace(TimeLimitError.__name__, f"takes longer than {seconds:g} s")
    return Line(
        path=relative(str(finding.path), library),
        line=max(1, finding.line),
        own=finding.path == own,
        code=finding.code,
        message=message,
        hint=relative(finding.hint, library),
    )


def _failed(path: Path, library: TemplateLibrary, message: str, hint: str) -> Reply:
    line = Line(path=relative(str(path), library), line=1, own=True, code="limit", message=message, hint=hint)
    return Reply(findings=(line,))


@contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """Of processor time, which a busy machine does not take away."""

    def stop(*_: Any) -> None:
        raise TimeLimitError

    signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds, AFTERWARDS)
    # What does not return to Python is ended by the system.
    resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time() + seconds) + 2, resource.RLIM_INFINITY))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def peak_memory() -> int:
    """Bytes of memory that were in use at some time; 0 on systems that do not say.

    Not `ru_maxrss`: what the process that started this one had in use counts in it, and a server has gigabytes.
    """
    with suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text("ascii").splitlines()
        return 1024 * int(next(line for line in lines if line.startswith("VmHWM:")).split()[1])
    return 0


def main() -> None:
    """Answers until the input ends."""
    for kind, limit in ((resource.RLIMIT_AS, MEMORY), (resource.RLIMIT_FSIZE, FILE), (resource.RLIMIT_CORE, 0)):
        with suppress(ValueError, OSError):  # some systems know no such limit
            resource.setrlimit(kind, (limit, limit))
    # What a library prints must not get between the replies.
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    for line in sys.stdin.buffer:
        replies.write(answer(Call.model_validate_json(line)).model_dump_json().encode() + b"\n")
        replies.flush()
        if peak_memory() > WORN:
            break


if __name__ == "__main__":
    main()
