"""Several edge processes on one port: the kernel spreads connections over those that share it by SO_REUSEPORT."""

import asyncio
import ctypes
import signal
import sys

import structlog

WORKER_FLAG = "--worker"
_PR_SET_PDEATHSIG = 1
_STOP_S = 10.0

_log = structlog.get_logger("ws_edge.workers")


def run_workers(count: int, drain_seconds: int) -> int:
    """Run that many workers until SIGTERM or SIGINT; when one ends by itself the others are stopped. The exit code is
    0, or the one of the worker that ended, 128 and the number of the signal where one ended it."""
    return asyncio.run(_run(count, drain_seconds))


def end_with_parent() -> None:
    """Ask the kernel to stop this worker when the process that started it is gone, however that went (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


async def _run(count: int, drain_seconds: int) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    workers = [await _start() for _ in range(count)]
    endings = [asyncio.create_task(worker.wait()) for worker in workers]
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait([*endings, stopping], return_when=asyncio.FIRST_COMPLETED)
    failed = [task.result() for task in endings if task.done()] if not stop.is_set() else []
    if failed:
        _log.error("worker_ended", exit_code=failed[0])
    stopping.cancel()
    for worker in workers:
        if worker.returncode is None:
            worker.terminate()
    _, late = await asyncio.wait(endings, timeout=drain_seconds + _STOP_S)
    for worker in workers:
        if worker.returncode is None:
            worker.kill()
    if late:
        _log.error("workers_killed", count=len(late))
        await asyncio.wait(late)
    return _exit_code(failed[0]) if failed else 0


def _exit_code(ended_with: int) -> int:
    """Of an edge whose worker ended by itself, which is a failure whatever the worker thinks of it."""
    return 128 - ended_with if ended_with < 0 else ended_with or 1


async def _start() -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(sys.executable, "-m", "ws_edge", WORKER_FLAG)
