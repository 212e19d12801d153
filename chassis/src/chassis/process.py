"""A process of a service: how it begins to serve, and ends after a signal."""

import asyncio
import gc
import resource
import signal
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from typing import TypeVar

from chassis.tasks import end_tasks

_T = TypeVar("_T")
_GC_THRESHOLDS = (50_000, 50, 50)


async def serve_until_signal(
    service: AbstractAsyncContextManager[_T], *, started: Callable[[_T], object] = lambda _: None
) -> None:
    """Serve for as long as the block of `service`, which ends at SIGTERM or SIGINT. A start that takes long, as with
    migrations, is broken off by them. `started` is called with what the block gives, once everything is ready and the
    garbage collection settled. Raises what the service raises."""
    of_others = asyncio.all_tasks()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    has_started = asyncio.Event()

    async def serve() -> None:
        async with service as given:
            has_started.set()
            _settle_garbage_collection()
            started(given)
            await stop.wait()

    work, asked = asyncio.create_task(serve()), asyncio.create_task(stop.wait())
    await asyncio.wait({work, asked}, return_when=asyncio.FIRST_COMPLETED)
    asked.cancel()
    if not has_started.is_set():
        work.cancel()
    await asyncio.wait({work})
    # What libraries left running, as the NATS client its reconnecting. asyncio itself cancels it once, and waits for
    # ever where that gets lost.
    await end_tasks(asyncio.all_tasks() - of_others)
    if not work.cancelled():
        work.result()


def _settle_garbage_collection() -> None:
    """What was made at the start stays for good; with default thresholds the collector would walk all that the process
    holds again and again, in pauses of 50 ms and more."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)


def raise_open_files_limit() -> None:
    """Open as many files as the system allows. Shells and service managers start programs with a soft limit of 1,024;
    the hard limit is what the operator meant."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # macOS takes no unlimited number of files
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
