"""Keeps one process that renders templates from a page, and puts another in its place when it does not answer."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import suppress

from genrec.serving.errors import BadRequestError
from genrec.serving.playground.calls import Call, Line, Reply

COMMAND = (sys.executable, "-m", "genrec.serving.playground.worker")
BUSY = 10
"""So many times the processor time of a call may pass before its process is ended from outside."""
START = 60.0
"""Seconds that a process may take to start and to read a tokenizer."""
MAX_REPLY = 1 << 24
MAX_WAITING = 8
_SINGLE = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
"""Threads would reserve address space, of which the process has little."""
_SECRET = ("KEY", "TOKEN", "SECRET", "PASSWORD")


class Sandbox:
    """Calls one after another; the process starts with the first one."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self._answered = False
        self._lock = asyncio.Lock()
        self._waiting = 0

    async def __call__(self, call: Call) -> Reply:
        """The reply; a finding at line 1 where the template takes the process with it. 503 while too many wait."""
        if self._waiting >= MAX_WAITING:
            raise BadRequestError("too many previews wait already", "try again in a moment", status=503)
        self._waiting += 1
        try:
            async with self._lock:
                return await self._ask(call)
        finally:
            self._waiting -= 1

    @property
    def pid(self) -> int | None:
        """Of the process that renders; None before the first call and after the end."""
        return None if self._process is None else self._process.pid

    async def close(self) -> None:
        """Ends the process."""
        process, self._process = self._process, None
        if process is not None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def _ask(self, call: Call) -> Reply:
        process = await self._running()
        assert process.stdin is not None  # noqa: S101  (both are pipes)
        assert process.stdout is not None  # noqa: S101
        limit = BUSY * call.seconds + (0.0 if self._answered else START)
        try:
            process.stdin.write(call.model_dump_json().encode() + b"\n")
            async with asyncio.timeout(limit):
                await process.stdin.drain()
                line = await process.stdout.readline()
        except TimeoutError:
            await self.close()
            return _lost(call, f"takes longer than {call.seconds:g} s")
        except (ConnectionError, ValueError):  # ValueError: a line longer than MAX_REPLY
            line = b""
        except BaseException:  # the caller went away; a late reply must not meet the next call
            await self.close()
            raise
        if not line.endswith(b"\n"):
            with suppress(TimeoutError):  # how it ended says why
                await asyncio.wait_for(process.wait(), 1.0)
            worn = self._answered and process.returncode == 0
            await self.close()
            if worn:  # it ended by itself behind its last reply, and the next one takes this call
                return await self._ask(call)
            slow = process.returncode == -signal.SIGXCPU
            return _lost(call, f"takes longer than {call.seconds:g} s" if slow else "ended the process that renders it")
        self._answered = True
        return Reply.model_validate_json(line)

    async def _running(self) -> asyncio.subprocess.Process:
        if self._process is None or self._process.returncode is not None:
            self._answered = False
            self._process = await asyncio.create_subprocess_exec(
                *COMMAND,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                limit=MAX_REPLY,
                env={**{name: value for name, value in os.environ.items() if not _is_secret(name)}, **_SINGLE},
                start_new_session=True,  # Ctrl-C is for the server; this process ends when its input does
            )
        return self._process


def _is_secret(name: str) -> bool:
    return any(word in name.upper() for word in _SECRET)


def _lost(call: Call, what: str) -> Reply:
    path, hint = f"{call.template}.prompt", "make its loops and numbers smaller"
    line = Line(path=path, line=1, own=True, code="limit", message=f"the template {what}", hint=hint)
    return Reply(findings=(line,))
