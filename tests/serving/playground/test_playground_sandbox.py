"""The process that renders templates of a page: what it may not have, and what happens when it stops or dies."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys

import pytest

from genrec.prompting.library import shipped_folder
from genrec.serving.errors import BadRequestError
from genrec.serving.playground import sandbox
from genrec.serving.playground.calls import Call
from genrec.serving.playground.sandbox import Sandbox

CALL = Call(kind="diff", template="rank/listwise", seconds=0.2)


def pid_of(box: Sandbox) -> int:
    assert box.pid is not None
    return box.pid


def test_a_process_that_does_not_answer_is_replaced() -> None:
    async def scene() -> None:
        box = Sandbox()
        assert (await box(CALL)).diff == ""
        first = pid_of(box)
        os.kill(first, signal.SIGSTOP)
        (line,) = (await box(CALL)).findings
        assert "longer than 0.2 s" in line.message
        with pytest.raises(ProcessLookupError):
            os.kill(first, 0)
        assert (await box(CALL)).diff == ""
        await box.close()

    asyncio.run(scene())


def test_a_process_that_is_worn_out_ends_behind_its_reply_and_nobody_notices(monkeypatch: pytest.MonkeyPatch) -> None:
    worn = "from genrec.serving.playground import worker; worker.WORN = 0; worker.main()"
    monkeypatch.setattr(sandbox, "COMMAND", (sys.executable, "-c", worn))

    async def scene() -> None:
        box, seen = Sandbox(), set()
        for _ in range(3):  # at once: the process may still be ending
            assert (await box(CALL)).diff == ""
            seen.add(pid_of(box))
        assert len(seen) == 3
        await box.close()

    asyncio.run(scene())


def test_the_memory_of_a_process_is_its_own_not_that_of_the_server_that_started_it() -> None:
    child = "from genrec.serving.playground.worker import peak_memory; print(peak_memory())"
    parent = f"import subprocess, sys; big = b'x' * (1 << 29); subprocess.run([sys.executable, '-c', {child!r}])"
    done = subprocess.run([sys.executable, "-c", parent], capture_output=True, text=True, check=True)
    assert 0 < int(done.stdout) < 1 << 29


@pytest.mark.parametrize(
    ("blow", "words"), [(signal.SIGXCPU, "longer than 60 s"), (signal.SIGKILL, "ended the process")]
)
def test_a_process_that_ends_at_its_work_is_replaced(blow: signal.Signals, words: str) -> None:
    source = (shipped_folder() / "rank" / "listwise.prompt").read_text("utf-8") + "{{ (10 ** 9) ** (10 ** 8) }}"
    work = Call(kind="lint", template="rank/listwise", source=source, seconds=60)

    async def scene() -> None:
        box = Sandbox()
        await box(CALL)
        asking = asyncio.create_task(box(work))
        await asyncio.sleep(0.2)
        os.kill(pid_of(box), blow)
        (line,) = (await asking).findings
        assert words in line.message
        assert (await box(CALL)).diff == ""
        await box.close()

    asyncio.run(scene())


def test_secrets_and_the_memory_of_the_machine_are_out_of_its_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENREC_SERVING__API_KEY", "a-secret")
    monkeypatch.setenv("HF_TOKEN", "a-secret")

    async def scene() -> None:
        box = Sandbox()
        await box(CALL)
        with open(f"/proc/{pid_of(box)}/environ", "rb") as file:
            assert b"a-secret" not in file.read()
        with open(f"/proc/{pid_of(box)}/limits") as file:
            limits = {line[:26].strip(): line[26:].split()[0] for line in file}
        assert limits["Max address space"] == str(3 << 30)
        assert limits["Max file size"] == str(1 << 22)
        await box.close()

    asyncio.run(scene())


def test_a_caller_who_leaves_gets_no_one_elses_reply() -> None:
    async def scene() -> None:
        box = Sandbox()
        await box(CALL)
        asking = asyncio.create_task(box(CALL.model_copy(update={"kind": "lint"})))
        await asyncio.sleep(0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert (await box(CALL)).diff == ""
        await box.close()

    asyncio.run(scene())


def test_few_may_wait() -> None:
    async def scene() -> None:
        box = Sandbox()
        answers = await asyncio.gather(*(box(CALL) for _ in range(12)), return_exceptions=True)
        refused = [answer for answer in answers if isinstance(answer, BadRequestError)]
        assert [error.status for error in refused] == [503] * 4
        await box.close()

    asyncio.run(scene())
