"""Several edge processes on one port: the kernel spreads connections over those that share it by SO_REUSEPORT."""

import asyncio
import ctypes
import os
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final

import structlog

WORKER_FLAG = "--worker"
"""Followed by the process id of the one that starts them."""
_PR_SET_PDEATHSIG = 1
_STOP_S: Final = 10.0
_EARLY_S: Final = 10.0
"""A worker that lasts for as long can run here."""
_EARLY_ENDS: Final = 3
_LONGEST_PAUSE_S: Final = 30.0

_log = structlog.get_logger(__name__)


def run_workers(count: int, drain_seconds: int, *, environment: Mapping[str, str], ended: Callable[[int], None]) -> int:
    """Run that many workers until SIGTERM or SIGINT. One that ends by itself is started again, alone; `ended` is called
    with its process id. Where one ends within 10 s of its start three times in a row and none has lasted longer, all
    are stopped. The exit code is 0, or the one of that worker, 128 and the number of the signal where one ended it."""
    return asyncio.run(_Workers(count, drain_seconds, environment, ended).run())


def end_with_parent() -> None:
    """Ask the kernel to stop this worker when the process that started it has ended, also where it was killed
    (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != int(sys.argv[-1]):
        sys.exit(1)  # it went before the kernel was asked


class _Workers:
    """The processes of one edge and a task for each that keeps it running."""

    def __init__(
        self, count: int, drain_seconds: int, environment: Mapping[str, str], ended: Callable[[int], None]
    ) -> None:
        self._count = count
        self._stop_within_s = drain_seconds + _STOP_S
        self._environment = environment
        self._ended = ended
        self._stop = asyncio.Event()
        self._began_s: dict[int, float] = {}
        self._has_lasted = False

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        async with asyncio.TaskGroup() as tasks:
            kept = [tasks.create_task(self._keep()) for _ in range(self._count)]
        return max(task.result() for task in kept)

    async def _keep(self) -> int:
        """One worker, started again each time that it ends by itself. The exit code that it gives to the edge."""
        loop = asyncio.get_running_loop()
        early = 0
        while True:
            began_s = loop.time()
            worker = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "ws_edge", WORKER_FLAG, str(os.getpid()), env=self._environment
            )
            self._began_s[worker.pid] = began_s
            _log.info("worker_started", pid=worker.pid)
            code = await self._end_of(worker)
            self._note_lasting(loop.time())
            del self._began_s[worker.pid]
            self._ended(worker.pid)
            if self._stop.is_set():
                return 0
            early = early + 1 if loop.time() - began_s < _EARLY_S else 0
            pause_s = restart_after_s(early, has_lasted=self._has_lasted)
            _log.error("worker_ended", pid=worker.pid, exit_code=code, starts_again=pause_s is not None)
            if pause_s is None:
                self._stop.set()
                return exit_code(code)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), pause_s)
                return 0

    def _note_lasting(self, now_s: float) -> None:
        self._has_lasted |= any(now_s - began_s >= _EARLY_S for began_s in self._began_s.values())

    async def _end_of(self, worker: asyncio.subprocess.Process) -> int:
        """Wait until the worker ends by itself, or end it when all are to stop."""
        stopping = asyncio.create_task(self._stop.wait())
        ending = asyncio.create_task(worker.wait())
        await asyncio.wait({stopping, ending}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not ending.done():
            worker.terminate()
            await asyncio.wait({ending}, timeout=self._stop_within_s)
        if not ending.done():
            _log.error("worker_killed", pid=worker.pid)
            worker.kill()
        return await ending


def restart_after_s(early: int, *, has_lasted: bool) -> float | None:
    """How long to wait before a worker is started again that has ended early so many times in a row; None: not at all.
    Where any worker of the edge has lasted, one that keeps ending does not take the others with it."""
    if early >= _EARLY_ENDS and not has_lasted:
        return None
    return min(2.0 ** (early - 1), _LONGEST_PAUSE_S) if early else 0.0


def exit_code(ended_with: int) -> int:
    """Of an edge whose worker cannot run, which is a failure even where the worker ended with 0."""
    return 128 - ended_with if ended_with < 0 else ended_with or 1
