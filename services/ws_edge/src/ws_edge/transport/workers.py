"""Several edge processes on one port: they start together and end together."""

import asyncio
import socket
from asyncio.subprocess import Process
from collections.abc import Sequence
from typing import Final

import structlog

log = structlog.get_logger(__name__)

LISTEN_FD_OPTION: Final = "--listen-fd"
"""Followed by the descriptor of the socket that the worker serves; the worker adopts it."""


async def supervise(
    command: Sequence[str], sockets: Sequence[socket.socket], *, stop: asyncio.Event, end_within_s: float
) -> int:
    """Run `command --listen-fd N` for each socket, until `stop` or until one of them ends.

    The others are then told to stop (SIGTERM) and killed after `end_within_s`. Returns the exit status: 0 only where
    everybody was told to stop and ended well.
    """
    workers = [await _start(command, sock) for sock in sockets]
    ends = [asyncio.create_task(worker.wait(), name=f"worker-{worker.pid}") for worker in workers]
    stopping = asyncio.create_task(stop.wait(), name="workers-stop")
    try:
        await asyncio.wait([stopping, *ends], return_when=asyncio.FIRST_COMPLETED)
        for worker in workers:
            if not stop.is_set() and worker.returncode is not None:
                log.error("worker_ended", pid=worker.pid, status=worker.returncode)
    finally:
        stopping.cancel()
        await _end(workers, ends, end_within_s)
    return 0 if stop.is_set() and all(worker.returncode == 0 for worker in workers) else 1


async def _start(command: Sequence[str], sock: socket.socket) -> Process:
    """The parent's own copy is closed: connections would be queued there for a worker that died."""
    fd = sock.fileno()
    worker = await asyncio.create_subprocess_exec(*command, LISTEN_FD_OPTION, str(fd), pass_fds=(fd,))
    sock.close()
    return worker


async def _end(workers: Sequence[Process], ends: Sequence[asyncio.Task[int]], end_within_s: float) -> None:
    for worker in workers:
        if worker.returncode is None:
            worker.terminate()
    _, late = await asyncio.wait(ends, timeout=end_within_s)
    for worker in workers:
        if late and worker.returncode is None:
            log.error("worker_killed", pid=worker.pid)
            worker.kill()
    await asyncio.wait(ends)
