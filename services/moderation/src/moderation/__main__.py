"""Runs one replica of moderation until SIGTERM or SIGINT: python -m moderation."""

import asyncio
import gc
import signal
import sys

import structlog
import uvloop

from moderation.bootstrap import StartFailed, replica
from moderation.config import BadSetting, Config, load_process
from moderation.telemetry import configure_logging

EXIT_BAD_SETTING = 2
_GC_THRESHOLD = 50_000

_log = structlog.get_logger()


def main() -> int:
    """The exit code of the process: 0 after a signal, 1 where it cannot run, 2 where a setting is bad."""
    try:
        config = load_process()
    except BadSetting as problem:
        sys.stderr.write(f"moderation: {problem}\n")
        return EXIT_BAD_SETTING
    configure_logging("moderation")
    try:
        uvloop.run(_serve(config))
    except StartFailed as problem:
        sys.stderr.write(f"moderation: {problem}\n")
        return 1
    return 0


async def _serve(config: Config) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signal_number, stop.set)
    has_started = asyncio.Event()

    async def serve() -> None:
        async with replica(config) as port:
            has_started.set()
            gc.freeze()  # what was made until here stays: collecting it again and again would only cost pauses
            gc.set_threshold(_GC_THRESHOLD)
            _log.info("serving", host=config.host, port=port)
            await stop.wait()
            _log.info("stopping")
        _log.info("stopped")

    work, asked = asyncio.create_task(serve()), asyncio.create_task(stop.wait())
    await asyncio.wait({work, asked}, return_when=asyncio.FIRST_COMPLETED)
    asked.cancel()
    if not has_started.is_set():
        # A start that takes long, as one with migrations, is broken off: what is missing is done at the next one.
        work.cancel()
    await asyncio.wait({work})
    if not work.cancelled():
        work.result()


if __name__ == "__main__":
    sys.exit(main())
