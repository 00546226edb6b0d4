"""Writes exposures behind the answers, so that a busy store delays none of them for long."""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from genrec.data.store import Exposure, Store
from genrec.errors import GenrecError
from genrec.settings import TraceSettings

PATIENCE_S = 0.5
"""How long an answer waits for its exposure, which mostly takes milliseconds."""
MOST_WAITING = 10_000
"""Exposures beyond are given up: a store that was busy for so many is out of order."""
DAY_S = 86_400.0

_log = logging.getLogger(__name__)


class ExposureLog:
    """One thread writes what many answers have shown, in their order. None is lost without an error in the log.

    Clicks join on the request id when both are read, so one may well be stored before its exposure is.
    """

    def __init__(self, store: Store, keep_days: float = TraceSettings().keep_days) -> None:
        self._store, self._keep_s, self._pruned = store, keep_days * DAY_S, -math.inf
        self._places = threading.BoundedSemaphore(MOST_WAITING)
        self._writer = ThreadPoolExecutor(1, "genrec-exposures")
        self._late = False

    async def write(self, exposure: Exposure) -> None:
        """Returns when the exposure is stored, or could not be, or after `PATIENCE_S`: it is then stored later."""
        if not self._places.acquire(blocking=False):
            _log.error("an exposure was not logged: %d others wait for the store", MOST_WAITING)
            return
        loop, written = asyncio.get_running_loop(), asyncio.Event()

        def store() -> None:
            try:
                self._store.log_exposure(exposure)
                self._prune()
            except Exception as error:
                _log.error("an exposure was not logged: %s", _said(error))
            finally:
                self._places.release()
                with suppress(RuntimeError):  # the loop of an answer that did not wait may be closed by now
                    loop.call_soon_threadsafe(written.set)

        self._writer.submit(store)
        try:
            async with asyncio.timeout(PATIENCE_S):
                await written.wait()
            self._late = False
        except TimeoutError:
            if not self._late:
                _log.warning("the store is busy: exposures are logged later than their answers")
            self._late = True

    def _prune(self) -> None:
        """Once a day: traces are read rarely, and the log is written all the time."""
        now = time.time()
        if now - self._pruned > DAY_S:
            self._pruned = now
            try:
                self._store.prune_traces(now - self._keep_s)
            except Exception as error:
                _log.error("old traces were not removed: %s", _said(error))

    def close(self) -> None:
        """Waits until all is written. What is written afterwards is a new thread's."""
        self._writer.shutdown()
        self._writer = ThreadPoolExecutor(1, "genrec-exposures")


def _said(error: Exception) -> str:
    return error.message if isinstance(error, GenrecError) else type(error).__name__
